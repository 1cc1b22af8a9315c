// SPDX-License-Identifier: MIT
//
// Descriptors that are closed while kevents watch them and their files live on.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

class Closing : public testing::Test {
 protected:
  Closing() {
    std::array<int, 2> pair;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    far_ = pair[1];
    // Out of the way of closefrom.
    number_ = fcntl(pair[0], F_DUPFD_CLOEXEC, 900);
    copy_ = pair[0];
    EXPECT_EQ(write(far_, "x", 1), 1);
  }
  ~Closing() override {
    close(far_);
    close(copy_);
  }
  ukevent Watch(uintptr_t cookie = 0) const {
    return DescriptorRequest(KEVENT_SOCKET, number_, KEVENT_SOCKET_RECV,
                             KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_WAKEUP_ALL, cookie);
  }
  static bool Readable(int queue) {
    pollfd descriptor = {queue, POLLIN, 0};
    return poll(&descriptor, 1, 0) == 1;
  }
  // Nobody is told of the file any more, nor woken by it.
  void ExpectSilence(int queue) const {
    EXPECT_TRUE(Take(queue).empty());
    EXPECT_FALSE(Readable(queue));
    EXPECT_EQ(write(far_, "x", 1), 1);
    EXPECT_FALSE(Readable(queue));
  }

  const Queue queue_;
  int far_;
  int copy_;
  int number_;
};

TEST_F(Closing, EndsTheWatchHoweverItIsClosed) {
  const int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int way = 0; way < 5; ++way) {
    SCOPED_TRACE(testing::Message() << "way " << way);
    for (uintptr_t cookie = 0; cookie < 3; ++cookie) {
      ASSERT_EQ(Add(queue_.fd(), Watch(cookie)), 0);
    }
    ASSERT_EQ(Take(queue_.fd()).size(), 3);
    const auto number = static_cast<unsigned>(number_);
    switch (way) {
      case 0:
        ASSERT_EQ(close(number_), 0);
        break;
      case 1:
        ASSERT_EQ(dup2(other, number_), number_);
        break;
      case 2:
        ASSERT_EQ(dup3(other, number_, O_CLOEXEC), number_);
        break;
      case 3:
        ASSERT_EQ(close_range(number, number + 5, 0), 0);
        break;
      default:
        closefrom(number_);
    }
    ExpectSilence(queue_.fd());
    EXPECT_EQ(dup2(copy_, number_), number_);
    ASSERT_EQ(Add(queue_.fd(), Watch(0)), 0);
    EXPECT_EQ(Take(queue_.fd()).size(), 1);
    EXPECT_EQ(Control(queue_.fd(), KEVENT_CTL_REMOVE, Watch(0)), 0);
  }
  close(number_);
  close(other);
}

TEST_F(Closing, EndsTheWatchOfEveryQueue) {
  const Queue others[3];
  ASSERT_EQ(Add(queue_.fd(), Watch()), 0);
  for (const Queue& other : others) ASSERT_EQ(Add(other.fd(), Watch()), 0);
  ASSERT_EQ(close(number_), 0);
  ExpectSilence(queue_.fd());
  for (const Queue& other : others) ExpectSilence(other.fd());
}

// What closes nothing ends nothing.
TEST_F(Closing, OnlyWhenItIsClosed) {
  ASSERT_EQ(Add(queue_.fd(), Watch()), 0);
  EXPECT_EQ(dup2(987'654, number_), -1);
  EXPECT_EQ(dup3(copy_, number_, 0x40), -1);
  EXPECT_EQ(dup2(number_, number_), number_);
  EXPECT_EQ(dup3(number_, number_, 0), -1);
  const auto number = static_cast<unsigned>(number_);
  if (close_range(number, number, CLOSE_RANGE_CLOEXEC) != 0) {
    EXPECT_EQ(errno, EINVAL);  // Linux before 5.11
  }
  const pid_t child = fork();
  if (child == 0) {
    close(number_);
    _exit(0);
  }
  EXPECT_EQ(ExitStatus(child), 0);
  // In our memory, with descriptors of its own.
  alignas(16) static std::array<char, 1 << 18> s_stack;
  const pid_t of_vfork =
      clone([](void* number_of) { return close(*static_cast<const int*>(number_of)); },
            s_stack.data() + s_stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD, &number_);
  EXPECT_EQ(ExitStatus(of_vfork), 0);
  EXPECT_EQ(Take(queue_.fd()).size(), 1);
  close(number_);
}

// A queue's own number is no different.
TEST_F(Closing, EndsTheWatchOfAQueueThatLivesOn) {
  const Queue inner;
  const Timer timer(inner.fd(), 1);
  const int copy = dup(inner.fd());
  ASSERT_EQ(Add(queue_.fd(), DescriptorRequest(KEVENT_KEVENT, copy, KEVENT_KEVENT_READY)), 0);
  ASSERT_EQ(close(copy), 0);
  timer.Expire();
  EXPECT_TRUE(Readable(inner.fd()));
  EXPECT_FALSE(Readable(queue_.fd()));
  EXPECT_TRUE(Take(queue_.fd()).empty());
  close(number_);
}

// A number that another thread closes while it is registered is not watched afterwards,
// though the file has another descriptor: nothing is reported, and the queue's descriptor
// is not readable for what nobody could remove.
TEST_F(Closing, WhileItIsRegistered) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a number is closed while another thread uses it: it says so";
#endif
  constexpr int kRounds = 4000;
  const int always_readable = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<int> round{0};
  std::atomic<int> closed{0};
  std::atomic<int> number{-1};
  const Queue queue;
  Thread closer([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i) {
      }
      std::atomic<int> spin{0};
      while (spin < i * 37 % 600) ++spin;
      close(number);
      closed = i;
    }
  });
  int registered = 0;
  int reported = 0;
  int readable = 0;
  for (int i = 1; i <= kRounds; ++i) {
    number = dup(always_readable);
    ukevent request = DescriptorRequest(KEVENT_POLL, number, KEVENT_POLL_POLLIN,
                                        KEVENT_REQ_ALWAYS_QUEUE, static_cast<uintptr_t>(i));
    round = i;
    if (kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 1, &request) == 0) ++registered;
    while (closed != i) {
    }
    if (!Take(queue.fd()).empty()) ++reported;
    if (Readable(queue.fd())) ++readable;
  }
  EXPECT_EQ(reported, 0);
  EXPECT_EQ(readable, 0);
  EXPECT_GT(registered, 0);
  close(always_readable);
}

}  // namespace
}  // namespace kevent_test
