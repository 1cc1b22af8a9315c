// SPDX-License-Identifier: MIT
//
// More descriptors that are ready than one look at the kernel finds.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Many : public testing::Test {
 protected:
  static constexpr unsigned kCount = 304;

  Many() {
    for (auto& pair : pairs_) EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  }
  ~Many() override {
    for (const auto& pair : pairs_) {
      close(pair[0]);
      close(pair[1]);
    }
  }
  ukevent RequestOf(unsigned i) const {
    return DescriptorRequest(KEVENT_SOCKET, pairs_[i][0], KEVENT_SOCKET_RECV, 0, i);
  }
  void SendToAll() {
    for (const auto& pair : pairs_) ASSERT_EQ(write(pair[1], "x", 1), 1);
  }

  Queue queue_;
  std::array<std::array<int, 2>, kCount> pairs_;
};

TEST_F(Many, BehindThoseThatWereMadeReadyToo) {
  for (unsigned i = 0; i < kCount; ++i) ASSERT_EQ(Add(queue_.fd(), RequestOf(i)), 0);
  SendToAll();
  for (unsigned i = 0; i + 1 < kCount; ++i) ASSERT_TRUE(Inject(queue_.fd(), RequestOf(i)));
  EXPECT_EQ(Take(queue_.fd(), kCount, kCount).size(), kCount);
}

TEST_F(Many, EachHasItsTurn) {
  for (unsigned i = 0; i < kCount; ++i) ASSERT_EQ(Add(queue_.fd(), RequestOf(i)), 0);
  SendToAll();
  std::vector<unsigned> found(kCount);
  for (unsigned i = 0; i < 2 * kCount; ++i) {
    for (const ukevent& event : Take(queue_.fd(), 1, 1)) {
      ++found[reinterpret_cast<uintptr_t>(event.ptr)];
    }
  }
  EXPECT_GE(*std::min_element(found.begin(), found.end()), 2);
}

// Second kevents on some of them, which are in an overflow epoll.
TEST_F(Many, EachHasItsTurnInOverflowEpollsToo) {
  constexpr unsigned kSecond = 4;
  for (unsigned i = 0; i < kCount + kSecond; ++i) {
    ukevent request = RequestOf(i % kCount);
    request.ptr = reinterpret_cast<void*>(uintptr_t{i});
    request.req_flags = KEVENT_REQ_WAKEUP_ALL;
    ASSERT_EQ(Add(queue_.fd(), request), 0);
  }
  SendToAll();
  std::vector<unsigned> found(kCount + kSecond);
  for (unsigned i = 0; i < 2 * kSecond * (kCount + 1); ++i) {
    for (const ukevent& event : Take(queue_.fd(), 1, 1)) {
      ++found[reinterpret_cast<uintptr_t>(event.ptr)];
    }
  }
  EXPECT_GE(*std::min_element(found.begin(), found.end()), 2);
}

// Two kevents on each, the second of which are all in an overflow epoll: none more often than the
// others, whatever the room, and whether they ask for all activities or not.
TEST_F(Many, NoneIsReportedMoreOftenThanTheOthers) {
  constexpr unsigned kKevents = 2 * kCount;
  for (unsigned i = 0; i < kKevents; ++i) {
    ukevent request = DescriptorRequest(
        KEVENT_SOCKET, pairs_[i % kCount][0], i < kCount ? KEVENT_SOCKET_RECV : KEVENT_SOCKET_SEND,
        KEVENT_REQ_ALWAYS_QUEUE | (i % 2 == 0 ? KEVENT_REQ_WAKEUP_ALL : 0), i);
    ASSERT_EQ(Add(queue_.fd(), request), 0);
  }
  // A third on one of them, in an overflow epoll of its own.
  ASSERT_EQ(Add(queue_.fd(), DescriptorRequest(KEVENT_SOCKET, pairs_[7][0], KEVENT_SOCKET_SEND,
                                               KEVENT_REQ_ALWAYS_QUEUE, kKevents)),
            0);
  SendToAll();
  for (const unsigned room : {1U, 7U, 64U, 300U, 500U}) {
    SCOPED_TRACE(testing::Message() << "room for " << room);
    std::vector<unsigned> found(kKevents + 1);
    constexpr unsigned kTurns = 20;
    for (unsigned i = 0; i < kTurns * (kKevents + 1); i += room) {
      const auto events = Take(queue_.fd(), 1, room);
      ASSERT_EQ(events.size(), room);
      for (const ukevent& event : events) ++found[reinterpret_cast<uintptr_t>(event.ptr)];
    }
    EXPECT_GE(*std::min_element(found.begin(), found.end()), kTurns * 3 / 4);
    EXPECT_LE(*std::max_element(found.begin(), found.end()), kTurns * 5 / 4);
  }
}

// However many others are made ready each time, half of the room is for these.
TEST_F(Many, NorAreThoseThatAreMadeReady) {
  constexpr unsigned kUsers = 40;
  constexpr unsigned kSockets = 8;
  for (unsigned i = 0; i < kSockets; ++i) ASSERT_EQ(Add(queue_.fd(), RequestOf(i)), 0);
  const auto user = [](uint64_t id) { return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT); };
  for (unsigned i = 0; i < kUsers; ++i) ASSERT_EQ(Add(queue_.fd(), user(i)), 0);
  SendToAll();
  for (const unsigned room : {1U, 2U, 5U, 16U, 30U}) {
    SCOPED_TRACE(testing::Message() << "room for " << room);
    std::vector<unsigned> sockets(kSockets);
    std::vector<unsigned> users(kUsers);
    constexpr unsigned kTurns = 20;
    unsigned batches = 0;
    for (; batches * room < 2 * kTurns * kUsers; ++batches) {
      for (unsigned i = 0; i < kUsers; ++i) ASSERT_TRUE(Inject(queue_.fd(), user(i)));
      const auto events = Take(queue_.fd(), 1, room);
      ASSERT_EQ(events.size(), room);
      for (const ukevent& event : events) {
        event.type == KEVENT_UNOTIFY ? ++users[event.id.raw_u64]
                                     : ++sockets[reinterpret_cast<uintptr_t>(event.ptr)];
      }
    }
    const unsigned each = std::min(batches, batches * room / 2 / kSockets);
    EXPECT_GE(*std::min_element(sockets.begin(), sockets.end()), each - 1);
    EXPECT_GE(*std::min_element(users.begin(), users.end()), kTurns - 1);
  }
}

}  // namespace
}  // namespace kevent_test
