// SPDX-License-Identifier: MIT
//
// Queues inside queues, as deep as the kernel nests epolls.

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

ukevent Nested(int fd) { return DescriptorRequest(KEVENT_KEVENT, fd, KEVENT_KEVENT_READY); }
ukevent User(uint64_t id) { return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT); }

// Each in the one before, as many as there can be in every kernel: older ones only
// count what is below.
class Nesting : public testing::Test {
 protected:
  static constexpr size_t kMost = 4;
  using Queues = std::vector<std::unique_ptr<Queue>>;

  static Queues FromOutside() {
    Queues queues = Apart();
    for (size_t i = 1; i < kMost; ++i) {
      EXPECT_EQ(Add(queues[i - 1]->fd(), Nested(queues[i]->fd())), 0);
    }
    return queues;
  }
  static Queues FromInside() {
    Queues queues = Apart();
    for (size_t i = kMost - 1; i > 0; --i) {
      EXPECT_EQ(Add(queues[i - 1]->fd(), Nested(queues[i]->fd())), 0);
    }
    return queues;
  }

  // One who waits for more than is ready sleeps until it is.
  static void ExpectToSleep(int queue) {
    for (uint64_t i = 0; i < 2; ++i) ASSERT_EQ(Add(queue, User(i)), 0);
    ASSERT_TRUE(Inject(queue, User(0)));
    std::vector<ukevent> events;
    Thread collector([&] { events = Take(queue, 2); });
    collector.AwaitAsleep();
    EXPECT_FALSE(collector.finished());
    ASSERT_TRUE(Inject(queue, User(1)));
    collector.Join();
    EXPECT_EQ(events.size(), 2);
    for (uint64_t i = 0; i < 2; ++i) EXPECT_EQ(Control(queue, KEVENT_CTL_REMOVE, User(i)), 0);
  }

 private:
  static Queues Apart() {
    Queues queues;
    for (size_t i = 0; i < kMost; ++i) queues.push_back(std::make_unique<Queue>());
    return queues;
  }
};

TEST_F(Nesting, WhoeverIsOutsideCanWaitForSeveral) {
  const Queues queues = FromOutside();
  ExpectToSleep(queues.front()->fd());
  ExpectToSleep(queues.back()->fd());
}

TEST_F(Nesting, TheSameBuiltFromInside) {
  const Queues queues = FromInside();
  ExpectToSleep(queues.front()->fd());
}

// What is refused leaves nothing behind, and what is removed makes room.
TEST_F(Nesting, RoomComesAndGoes) {
  const Queues queues = FromInside();
  const int outer = queues[0]->fd();
  const int inner = queues[1]->fd();
  const Queue further;
  ASSERT_EQ(Add(further.fd(), User(7)), 0);
  const auto before = OpenDescriptors();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Add(further.fd(), Nested(outer)), -ELOOP);
    EXPECT_EQ(Control(outer, KEVENT_CTL_REMOVE, Nested(inner)), 0);
    EXPECT_EQ(Add(further.fd(), Nested(outer)), 0);
    EXPECT_EQ(Control(further.fd(), KEVENT_CTL_REMOVE, Nested(outer)), 0);
    EXPECT_EQ(Add(outer, Nested(inner)), 0);
  }
  EXPECT_EQ(OpenDescriptors(), before);
  ExpectToSleep(further.fd());
}

// Further kevents on one descriptor take a level.
TEST_F(Nesting, ASecondKeventNeedsRoomToo) {
  const Queues queues = FromInside();
  std::array<int, 2> pair;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const auto add = [&pair](int queue, uintptr_t cookie) {
    return Add(queue, DescriptorRequest(KEVENT_SOCKET, pair[0], KEVENT_SOCKET_RECV, 0, cookie));
  };
  EXPECT_EQ(add(queues[3]->fd(), 1), 0);
  const int error = add(queues[3]->fd(), 2);  // as far as the kernel counts
  EXPECT_TRUE(error == -ELOOP || error == 0) << error;
  EXPECT_EQ(add(queues[2]->fd(), 1), 0);
  EXPECT_EQ(add(queues[2]->fd(), 2), 0);
  ExpectToSleep(queues[0]->fd());
  for (const int fd : pair) close(fd);
}

// An epoll of the program's is as deep as a queue.
TEST_F(Nesting, EpollsOfTheProgramCount) {
  std::vector<int> epolls = {epoll_create1(EPOLL_CLOEXEC)};
  for (int i = 0; i < 3; ++i) {
    const int outer = epoll_create1(EPOLL_CLOEXEC);
    epoll_event any = {};
    ASSERT_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, epolls.back(), &any), 0);
    epolls.push_back(outer);
  }
  const Queue queue;
  const auto poll = [](int fd) { return DescriptorRequest(KEVENT_POLL, fd, KEVENT_POLL_POLLIN); };
  const int error = Add(queue.fd(), poll(epolls[3]));  // Linux 5.10 lets one more in
  EXPECT_TRUE(error == -ELOOP || error == 0) << error;
  ExpectToSleep(queue.fd());
  if (error == 0) {
    EXPECT_EQ(Control(queue.fd(), KEVENT_CTL_REMOVE, poll(epolls[3])), 0);
  }
  EXPECT_EQ(Add(queue.fd(), poll(epolls[2])), 0);
  ExpectToSleep(queue.fd());
  EXPECT_EQ(Control(queue.fd(), KEVENT_CTL_REMOVE, poll(epolls[2])), 0);
  ExpectToSleep(queue.fd());
  for (const int epoll : epolls) close(epoll);
}

TEST_F(Nesting, AQueueThatWasMadeReadyIsNotSaidToBe) {
  const Queue outer;
  const Queue inner;
  ASSERT_EQ(Add(outer.fd(), Nested(inner.fd())), 0);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Inject(outer.fd(), Nested(inner.fd())));
    const auto events = Take(outer.fd());
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ret_data[0], 0u);
  }
}

// For room in a ring, too.
TEST_F(Nesting, WhoeverWaitsForRoomSleeps) {
  constexpr unsigned kSize = 2;
  auto* ring =
      static_cast<kevent_ring*>(std::calloc(1, sizeof(kevent_ring) + kSize * sizeof(ukevent)));
  const int outer = kevent_init(ring, kSize, 0);
  ASSERT_GE(outer, 0);
  const Queues queues = FromOutside();
  ASSERT_EQ(Add(outer, Nested(queues[1]->fd())), 0);
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(Add(outer, User(i)), 0);
    ASSERT_TRUE(Inject(outer, User(i)));
  }
  ASSERT_EQ(kevent_wait(outer, kSize, 0, nullptr, 0), 2);
  int result = -1;
  Thread waiter([&] { result = kevent_wait(outer, kSize, 0, nullptr, 0); });
  waiter.AwaitAsleep();
  EXPECT_EQ(kevent_commit(outer, 1, 0), 1);
  waiter.Join();
  EXPECT_GE(result, 0);
  EXPECT_EQ(close(outer), 0);
  std::free(ring);
}

}  // namespace
}  // namespace kevent_test
