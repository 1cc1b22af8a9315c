// SPDX-License-Identifier: MIT
//
// CLOCK_REALTIME is set, by seconds and by years.

#include <algorithm>

#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

constexpr int64_t kStepSecond = 1'000'000'000;
constexpr int64_t kStepYear = 365 * 86'400 * kStepSecond;
constexpr uint64_t kAhead = 10 * kSecond;

class ClockSteps : public EngineTest, public testing::WithParamInterface<int64_t> {};

TEST_P(ClockSteps, MoveAbsoluteTimersAndLeaveRelativeOnesAlone) {
  const int64_t step = GetParam();
  const Handle relative = Create(queue_, CLOCK_REALTIME, 1);
  const Handle absolute = Create(queue_, CLOCK_REALTIME, 2);
  ASSERT_EQ(SetIn(relative, kAhead), 0);
  ASSERT_EQ(Set(absolute, TIMER_ABSTIME, Sim().Now(CLOCK_REALTIME) + kAhead), 0);

  Sim().SetRealtime(step);
  EXPECT_EQ(Get(relative).value, kAhead);
  const int64_t left = static_cast<int64_t>(kAhead) - step;
  if (left <= 0) {
    EXPECT_EQ(Get(absolute).value, 0);
    EXPECT_TRUE(readable());
    const std::vector<ukevent> events = Collect(queue_);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(events[0].ptr), 2);
    EXPECT_FALSE(readable());
  } else {
    EXPECT_EQ(Get(absolute).value, static_cast<uint64_t>(left));
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_FALSE(readable());
    // Whichever comes first.
    const auto first = std::min(static_cast<uint64_t>(left), kAhead);
    Sim().Advance(first - 1);
    EXPECT_FALSE(readable());
    Sim().Advance(1);
    EXPECT_TRUE(readable());
    const std::vector<ukevent> events = Collect(queue_);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(events[0].ptr), step > 0 ? 2 : 1);
    Sim().Advance(std::max(static_cast<uint64_t>(left), kAhead) - first);
  }
  if (left <= 0) Sim().Advance(kAhead);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(relative), 0);
  EXPECT_EQ(Delete(absolute), 0);
}

INSTANTIATE_TEST_SUITE_P(By, ClockSteps,
                         testing::Values(kStepSecond, -kStepSecond, 11 * kStepSecond, kStepYear,
                                         -kStepYear, 30 * kStepYear, -30 * kStepYear));

}  // namespace
}  // namespace kevent_test
