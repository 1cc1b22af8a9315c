// SPDX-License-Identifier: MIT
//
// The timeout of kevent_get_events.  It must not end early; how late it ends is
// the system's affair.

#include <fcntl.h>
#include <limits.h>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

constexpr unsigned kMonotonic = KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC;
constexpr Nanos kShort = 4 * kMillisecond;

class Timeout : public testing::Test {
 protected:
  int GetEvents(unsigned min, const timespec* timeout, unsigned flags = 0) {
    return kevent_get_events(queue_.fd(), min, 4, timeout, events_, flags);
  }
  int GetEvents(unsigned min, Nanos timeout, unsigned flags = 0) {
    const timespec limit = ToTimespec(timeout);
    return GetEvents(min, &limit, flags);
  }

  Queue queue_;
  Timer timer_{queue_.fd(), 1};
  ukevent events_[4];
};

TEST_F(Timeout, Relative) {
  const Nanos start = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(GetEvents(1, kShort), 0);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + kShort);
}

TEST_F(Timeout, AbsoluteOnRealtime) {
  const Nanos end = Now(CLOCK_REALTIME) + kShort;
  EXPECT_EQ(GetEvents(1, end, KEVENT_FLAGS_ABSTIME), 0);
  EXPECT_GE(Now(CLOCK_REALTIME), end);
}

TEST_F(Timeout, AbsoluteOnMonotonic) {
  const Nanos end = Now(CLOCK_MONOTONIC) + kShort;
  EXPECT_EQ(GetEvents(1, end, kMonotonic), 0);
  EXPECT_GE(Now(CLOCK_MONOTONIC), end);
}

TEST_F(Timeout, AbsoluteInThePast) {
  for (const Nanos end : {Nanos{0}, Nanos{1}, Now(CLOCK_MONOTONIC) / 2}) {
    EXPECT_EQ(GetEvents(1, end, KEVENT_FLAGS_ABSTIME), 0);
    EXPECT_EQ(GetEvents(1, end, kMonotonic), 0);
  }
  timer_.Expire();
  EXPECT_EQ(GetEvents(2, 1, kMonotonic), 1);
}

TEST_F(Timeout, Zero) {
  EXPECT_EQ(GetEvents(1, Nanos{0}), 0);
  timer_.Expire();
  EXPECT_EQ(GetEvents(4, Nanos{0}), 1);
}

TEST_F(Timeout, OneNanosecond) {
  const Nanos start = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(GetEvents(1, Nanos{1}), 0);
  EXPECT_GT(Now(CLOCK_MONOTONIC), start);
}

// Longer than any clock runs: as good as none, and not an overflow.
TEST_F(Timeout, Longest) {
  constexpr timespec kLongest = {LONG_MAX, 999'999'999};
  for (const unsigned flags : {0u, unsigned{KEVENT_FLAGS_ABSTIME}, kMonotonic}) {
    timer_.ArmIn(kMillisecond);
    EXPECT_EQ(GetEvents(1, &kLongest, flags), 1);
  }
}

TEST_F(Timeout, NoneWaitsForAnEvent) {
  const Nanos start = Now(CLOCK_MONOTONIC);
  timer_.ArmAt(start + kShort);
  EXPECT_EQ(GetEvents(1, nullptr), 1);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + kShort);
}

TEST_F(Timeout, AnEventComesFirst) {
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, kHour), 1);
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, Now(CLOCK_REALTIME) + kHour, KEVENT_FLAGS_ABSTIME), 1);
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, Now(CLOCK_MONOTONIC) + kHour, kMonotonic), 1);
}

TEST_F(Timeout, FlagsWithoutTimeout) {
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, nullptr, KEVENT_FLAGS_ABSTIME), 1);
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, nullptr, kMonotonic), 1);
}

TEST_F(Timeout, IsNotWritten) {
  timespec timeout = {0, 1'000'000};
  EXPECT_EQ(GetEvents(1, &timeout), 0);
  EXPECT_EQ(timeout.tv_sec, 0);
  EXPECT_EQ(timeout.tv_nsec, 1'000'000);
}

TEST_F(Timeout, OfASleeperThatIsNotTheFirst) {
  Sleeper first(queue_.fd(), 1, 1);
  first.AwaitAsleep();
  const Nanos start = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(GetEvents(1, kShort), 0);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + kShort);
  const Nanos end = Now(CLOCK_REALTIME) + kShort;
  EXPECT_EQ(GetEvents(1, end, KEVENT_FLAGS_ABSTIME), 0);
  EXPECT_GE(Now(CLOCK_REALTIME), end);
  timer_.Expire();
  EXPECT_EQ(first.result(), 1);
}

// On any copy: the flag belongs to what they share.
TEST_F(Timeout, NonBlockingNeverSleeps) {
  const int copy = dup(queue_.fd());
  ASSERT_EQ(fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK), 0);
  EXPECT_EQ(GetEvents(1, nullptr), 0);
  EXPECT_EQ(GetEvents(4, kHour), 0);
  EXPECT_EQ(GetEvents(4, Now(CLOCK_MONOTONIC) + kHour, kMonotonic), 0);
  timer_.Expire();
  EXPECT_EQ(GetEvents(4, nullptr), 1);

  ASSERT_EQ(fcntl(queue_.fd(), F_SETFL, fcntl(copy, F_GETFL) & ~O_NONBLOCK), 0);
  timer_.ArmIn(kMillisecond);
  EXPECT_EQ(GetEvents(1, nullptr), 1);
  close(copy);
}

}  // namespace
}  // namespace kevent_test
