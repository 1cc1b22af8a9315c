// SPDX-License-Identifier: MIT
//
// min_nr and max_nr of kevent_get_events.

#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// Ten timers an hour away, with cookies 0 to 9.
class MinMax : public testing::Test {
 protected:
  void SetUp() override {
    timers_.reserve(10);
    for (uintptr_t i = 0; i < 10; ++i) {
      timers_.emplace_back(queue_.fd(), i);
      timers_.back().ArmIn(kHour);
    }
  }

  void Expire(size_t count) {
    for (size_t i = 0; i < count; ++i) timers_[i].Expire();
  }

  Queue queue_;
  std::vector<Timer> timers_;
};

TEST_F(MinMax, MinThreeReturnsWhenThreeHaveExpired) {
  Expire(3);
  EXPECT_EQ(Collect(queue_.fd(), 3, 8).size(), 3u);
}

TEST_F(MinMax, MinThreeWaitsForTheThird) {
  const Nanos start = Now(CLOCK_MONOTONIC);
  timers_[0].Expire();
  timers_[1].ArmAt(start + 3 * kMillisecond);
  timers_[2].ArmAt(start + 6 * kMillisecond);
  EXPECT_GE(Collect(queue_.fd(), 3, 8).size(), 3u);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + 6 * kMillisecond);
}

TEST_F(MinMax, FewerAtTheTimeout) {
  Expire(2);
  const Nanos start = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Collect(queue_.fd(), 3, 8, 4 * kMillisecond).size(), 2u);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + 4 * kMillisecond);
}

TEST_F(MinMax, NoneAtTheTimeout) {
  const Nanos start = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Collect(queue_.fd(), 1, 8, 4 * kMillisecond).size(), 0u);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + 4 * kMillisecond);
}

TEST_F(MinMax, EightAtMost) {
  Expire(10);
  EXPECT_EQ(Collect(queue_.fd(), 3, 8).size(), 8u);
  EXPECT_TRUE(Readable(queue_.fd()));
  EXPECT_EQ(Collect(queue_.fd(), 1, 8).size(), 2u);
  EXPECT_FALSE(Readable(queue_.fd()));
}

TEST_F(MinMax, MinAndMaxTheSame) {
  Expire(10);
  EXPECT_EQ(Collect(queue_.fd(), 10, 10).size(), 10u);
}

TEST_F(MinMax, MoreThanMinIsReturnedWhenItIsThere) {
  Expire(7);
  EXPECT_EQ(Collect(queue_.fd(), 1, 8).size(), 7u);
}

// It would sleep for an hour.
TEST_F(MinMax, MinZeroNeverSleeps) {
  EXPECT_EQ(Collect(queue_.fd(), 0, 8).size(), 0u);
  EXPECT_EQ(Collect(queue_.fd(), 0, 8, kHour).size(), 0u);
  Expire(2);
  EXPECT_EQ(Collect(queue_.fd(), 0, 8).size(), 2u);
}

TEST_F(MinMax, TimeoutZeroNeverSleeps) {
  EXPECT_EQ(Collect(queue_.fd(), 5, 8, 0).size(), 0u);
  Expire(2);
  EXPECT_EQ(Collect(queue_.fd(), 5, 8, 0).size(), 2u);
}

TEST_F(MinMax, MinAboveMaxIsInvalid) {
  Expire(3);
  ukevent events[4];
  EXPECT_EQ(kevent_get_events(queue_.fd(), 3, 2, nullptr, events, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(Collect(queue_.fd(), 0, 8).size(), 3u);
}

TEST_F(MinMax, MaxZeroReturnsZeroAtOnce) {
  EXPECT_EQ(kevent_get_events(queue_.fd(), 0, 0, nullptr, nullptr, 0), 0);
  Expire(3);
  EXPECT_EQ(kevent_get_events(queue_.fd(), 0, 0, nullptr, nullptr, 0), 0);
  EXPECT_EQ(Collect(queue_.fd(), 0, 8).size(), 3u);
}

// A periodic timer has one completion at a time, however often it expires.
TEST_F(MinMax, OnePeriodicTimerDoesNotReachMinTwo) {
  timers_[0].ArmAt(Now(CLOCK_MONOTONIC) + kMillisecond, kMillisecond);
  EXPECT_EQ(Collect(queue_.fd(), 2, 8, 5 * kMillisecond).size(), 1u);
}

}  // namespace
}  // namespace kevent_test
