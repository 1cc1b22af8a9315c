// SPDX-License-Identifier: MIT
//
// The order of events in a batch.

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Order : public testing::Test {
 protected:
  void Make(size_t count, clockid_t clock = CLOCK_MONOTONIC) {
    for (size_t i = 0; i < count; ++i) timers_.emplace_back(queue_.fd(), timers_.size(), clock);
  }
  std::vector<uintptr_t> All() { return Cookies(Collect(queue_.fd(), 0, 4'096)); }

  Queue queue_;
  std::vector<Timer> timers_;
};

TEST_F(Order, ByExpirationWhateverTheOrderOfArming) {
  constexpr size_t kTimers = 1'000;
  Make(kTimers);
  std::vector<uintptr_t> expected(kTimers);
  std::iota(expected.begin(), expected.end(), 0);
  std::vector<uintptr_t> arming = expected;
  std::mt19937 random(20060822);
  std::shuffle(arming.begin(), arming.end(), random);
  const Nanos first = Now(CLOCK_MONOTONIC) - kSecond;
  for (const uintptr_t i : arming) timers_[i].ArmAt(first + static_cast<Nanos>(i));
  EXPECT_EQ(All(), expected);
}

TEST_F(Order, BySmallBatchesTheSame) {
  Make(20);
  for (size_t i = 0; i < 20; ++i) timers_[i].ArmAt(static_cast<Nanos>(20 - i));
  std::vector<uintptr_t> collected;
  for (int i = 0; i < 7; ++i) {
    for (const uintptr_t cookie : Cookies(Collect(queue_.fd(), 0, 3))) {
      collected.push_back(cookie);
    }
  }
  std::reverse(collected.begin(), collected.end());
  std::vector<uintptr_t> expected(20);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(collected, expected);
}

TEST_F(Order, EqualDeadlinesInTheOrderOfArming) {
  Make(10);
  const std::vector<uintptr_t> arming = {3, 1, 4, 0, 5, 9, 2, 6, 8, 7};
  for (const Nanos deadline : {Nanos{1}, Now(CLOCK_MONOTONIC) / 2}) {
    for (const uintptr_t i : arming) timers_[i].ArmAt(deadline);
    EXPECT_EQ(All(), arming);
  }
}

TEST_F(Order, RearmingMovesToTheEndOfTheEquals) {
  Make(6);
  const Nanos deadline = Now(CLOCK_MONOTONIC) / 2;
  for (const Timer& timer : timers_) timer.ArmAt(deadline);
  timers_[2].ArmAt(deadline);  // the same setting, another arming
  timers_[0].Disarm();
  timers_[0].ArmAt(deadline);
  EXPECT_EQ(All(), (std::vector<uintptr_t>{1, 3, 4, 5, 2, 0}));
}

TEST_F(Order, RearmingEqualsThatAreInTheIndex) {
  Make(6);
  const Nanos deadline = Now(CLOCK_MONOTONIC) + 2 * kMillisecond;
  for (const Timer& timer : timers_) timer.ArmAt(deadline);
  // A collection that finds nothing due, if it is not late, has indexed them.
  ukevent none;
  const timespec no_time = {};
  const int early = kevent_get_events(queue_.fd(), 0, 1, &no_time, &none, 0);
  if (early != 0) GTEST_SKIP() << "the deadline had passed already";
  timers_[1].ArmAt(deadline);
  timers_[3].ArmAt(deadline);
  SleepUntil(CLOCK_MONOTONIC, deadline);
  EXPECT_EQ(All(), (std::vector<uintptr_t>{0, 2, 4, 5, 1, 3}));
}

// A periodic timer that was collected late has its next expiration, on its
// phase, among those of the others.
TEST_F(Order, ByFirstUncollectedExpirationOfPeriodicTimers) {
  Make(3);
  const Nanos now = Now(CLOCK_MONOTONIC);
  timers_[0].ArmAt(now - 900 * kMillisecond, kHour);
  timers_[1].ArmAt(now - 950 * kMillisecond);
  timers_[2].ArmAt(now - 999 * kMillisecond, 10 * kMillisecond);  // a hundred overruns
  EXPECT_EQ(All(), (std::vector<uintptr_t>{2, 1, 0}));
}

// What the clocks say at one moment, up to a tenth of a second: lateness on
// several clocks differs by whole seconds below.
struct Moment {
  Moment() {
    do {
      monotonic = Now(CLOCK_MONOTONIC);
      realtime = Now(CLOCK_REALTIME);
      boottime = Now(CLOCK_BOOTTIME);
      tai = Now(CLOCK_TAI);
    } while (Now(CLOCK_MONOTONIC) - monotonic > kSecond / 10);
  }
  Nanos monotonic, realtime, boottime, tai;
};

TEST_F(Order, AcrossClocksByLatenessLongestFirst) {
  Make(2, CLOCK_BOOTTIME);
  Make(2, CLOCK_REALTIME);
  Make(2, CLOCK_MONOTONIC);
  Make(2, CLOCK_TAI);
  const Moment now;
  timers_[0].ArmAt(now.boottime - 3 * kSecond);
  timers_[1].ArmAt(now.boottime - 7 * kSecond);
  timers_[2].ArmAt(now.realtime - 2 * kSecond);
  timers_[3].ArmAt(now.realtime - 6 * kSecond);
  timers_[4].ArmAt(now.monotonic - 8 * kSecond);
  timers_[5].ArmAt(now.monotonic - 1 * kSecond);
  timers_[6].ArmAt(now.tai - 5 * kSecond);
  timers_[7].ArmAt(now.tai - 4 * kSecond);
  EXPECT_EQ(All(), (std::vector<uintptr_t>{4, 1, 3, 6, 7, 0, 2, 5}));
}

TEST_F(Order, AcrossClocksAlsoOneAtATime) {
  Make(1, CLOCK_MONOTONIC);
  Make(1, CLOCK_REALTIME);
  Make(1, CLOCK_MONOTONIC);
  Make(1, CLOCK_REALTIME);
  const Moment now;
  timers_[0].ArmAt(now.monotonic - 2 * kSecond);
  timers_[1].ArmAt(now.realtime - 3 * kSecond);
  timers_[2].ArmAt(now.monotonic - 4 * kSecond);
  timers_[3].ArmAt(now.realtime - 1 * kSecond);
  for (const uintptr_t expected : {2u, 1u, 0u, 3u}) {
    EXPECT_EQ(Cookies(Collect(queue_.fd(), 1, 1)), std::vector<uintptr_t>{expected});
  }
}

}  // namespace
}  // namespace kevent_test
