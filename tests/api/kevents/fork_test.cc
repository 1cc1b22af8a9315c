// SPDX-License-Identifier: MIT
//
// In a child of fork the queue is empty and works, whatever was registered with
// it in the parent, who notices nothing.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class KeventsAndFork : public testing::TestWithParam<pid_t (*)()> {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_), 0); }
  void TearDown() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  ukevent Readable(uintptr_t cookie) const {
    return DescriptorRequest(KEVENT_PIPE, ends_[0], KEVENT_SOCKET_RECV, 0, cookie);
  }
  static bool Adds(int queue, ukevent request) {
    return kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request) == 0;
  }

  const Queue queue_;
  const int fd_ = queue_.fd();
  int ends_[2];
};

TEST_P(KeventsAndFork, TheChildBeginsAnew) {
  const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1)};
  const ukevent user = Request(KEVENT_UNOTIFY, 1, 1, KEVENT_REQ_READY);
  ASSERT_EQ(Add(fd_, user), 0);
  ASSERT_EQ(Add(fd_, TimerRequest(1, &past)), 0);
  for (uintptr_t i = 0; i < 3; ++i) ASSERT_EQ(Add(fd_, Readable(i)), 0);
  ASSERT_EQ(write(ends_[1], "x", 1), 1);

  ExpectChild(
      [&] {
        ukevent events[8];
        CHILD_CHECK(kevent_get_events(fd_, 0, 8, nullptr, events, 0) == 0);
        ukevent missing = user;
        CHILD_CHECK(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 1, &missing) == 1);
        CHILD_CHECK(Adds(fd_, user));
        CHILD_CHECK(Adds(fd_, TimerRequest(1, &past)));
        ukevent ready = Readable(0);
        CHILD_CHECK(kevent_ctl(fd_, KEVENT_CTL_ADD, 1, &ready) == 1);
        CHILD_CHECK(kevent_get_events(fd_, 2, 8, nullptr, events, 0) == 2);
      },
      GetParam());

  EXPECT_EQ(Take(fd_, 1).size(), 5);
}

TEST_P(KeventsAndFork, TheChildHasNoRing) {
  auto* ring = static_cast<kevent_ring*>(std::calloc(1, sizeof(kevent_ring) + 4 * sizeof(ukevent)));
  const int queue = kevent_init(ring, 4, 0);
  ASSERT_GE(queue, 0);
  ASSERT_EQ(Add(queue, Request(KEVENT_UNOTIFY, 1, 1, KEVENT_REQ_READY)), 0);
  ExpectChild(
      [&] {
        const timespec none = {0, 0};
        CHILD_CHECK(kevent_wait(queue, 1, 0, &none, 0) == -1 && errno == EINVAL);
        CHILD_CHECK(kevent_commit(queue, 0, 0) == 0);
      },
      GetParam());
  EXPECT_EQ(kevent_wait(queue, 1, 0, nullptr, 0), 1);
  EXPECT_EQ(close(queue), 0);
  std::free(ring);
}

INSTANTIATE_TEST_SUITE_P(By, KeventsAndFork, testing::Values(fork, _Fork));

}  // namespace
}  // namespace kevent_test
