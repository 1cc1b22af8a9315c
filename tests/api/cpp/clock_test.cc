// SPDX-License-Identifier: MIT
//
// Durations and deadlines of std::chrono as the header passes them on.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <kevent/kevent.hpp>
#include <limits>
#include <ratio>

namespace {

using kevent::detail::longest;
using kevent::detail::to_nanoseconds;
using std::chrono::duration;
using namespace std::chrono_literals;

TEST(Clock, RoundsUpAndNeverDown) {
  EXPECT_EQ(to_nanoseconds(1ns), 1);
  EXPECT_EQ(to_nanoseconds(20ms), 20'000'000);
  EXPECT_EQ(to_nanoseconds(1h), 3'600'000'000'000);
  EXPECT_EQ(to_nanoseconds(duration<int64_t, std::pico>(1)), 1);
  EXPECT_EQ(to_nanoseconds(duration<int64_t, std::pico>(1000)), 1);
  EXPECT_EQ(to_nanoseconds(duration<int64_t, std::pico>(1001)), 2);
  // A picture of a film: 41 666 666.67 ns.
  EXPECT_EQ(to_nanoseconds(duration<int, std::ratio<1, 24>>(1)), 41'666'667);
  EXPECT_EQ(to_nanoseconds(duration<int, std::ratio<1, 24>>(24)), 1'000'000'000);
  EXPECT_EQ(to_nanoseconds(duration<double>(1.5e-9)), 2);
  EXPECT_EQ(to_nanoseconds(duration<double>(0.5)), 500'000'000);
  EXPECT_GE(to_nanoseconds(duration<float>(0.1F)), 100'000'000);
}

TEST(Clock, SaturatesAtBothEnds) {
  EXPECT_EQ(to_nanoseconds(0ns), 0);
  EXPECT_EQ(to_nanoseconds(-1ns), 0);
  EXPECT_EQ(to_nanoseconds(std::chrono::hours::min()), 0);
  EXPECT_EQ(to_nanoseconds(std::chrono::nanoseconds::max()), longest);
  EXPECT_EQ(to_nanoseconds(std::chrono::hours::max()), longest);
  EXPECT_EQ(to_nanoseconds(std::chrono::years(200)), longest);
  EXPECT_EQ(to_nanoseconds(duration<uint64_t>(UINT64_MAX)), longest);
  EXPECT_EQ(to_nanoseconds(duration<uint8_t>(255)), 255'000'000'000);
  EXPECT_EQ(to_nanoseconds(duration<double>(std::numeric_limits<double>::infinity())), longest);
  EXPECT_EQ(to_nanoseconds(duration<double>(-std::numeric_limits<double>::infinity())), 0);
  EXPECT_EQ(to_nanoseconds(duration<double>(std::numeric_limits<double>::quiet_NaN())), 0);
  EXPECT_EQ(to_nanoseconds(std::chrono::steady_clock::time_point::max()), longest);
  EXPECT_EQ(to_nanoseconds(std::chrono::system_clock::time_point::min()), 0);
}

TEST(Clock, ADeadlineThatHasPassedDoesNotDisarm) {
  const itimerspec now = kevent::detail::to_setting(0, 0);
  EXPECT_EQ(now.it_value.tv_sec, 0);
  EXPECT_EQ(now.it_value.tv_nsec, 1);
  EXPECT_EQ(now.it_interval.tv_nsec, 0);
  const itimerspec later = kevent::detail::to_setting(1'999'999'999, 1'000'000'000);
  EXPECT_EQ(later.it_value.tv_sec, 1);
  EXPECT_EQ(later.it_value.tv_nsec, 999'999'999);
  EXPECT_EQ(later.it_interval.tv_sec, 1);
  EXPECT_EQ(later.it_interval.tv_nsec, 0);
}

// All of it can be done by the compiler.
static_assert(to_nanoseconds(std::chrono::days(1)) == 86'400'000'000'000);
static_assert(to_nanoseconds(duration<double, std::milli>(0.25)) == 250'000);
static_assert(kevent::clock_id<std::chrono::steady_clock> == CLOCK_MONOTONIC);
static_assert(kevent::clock_id<std::chrono::system_clock> == CLOCK_REALTIME);
static_assert(kevent::clock_id<kevent::BootClock> == CLOCK_BOOTTIME);

TEST(Clock, ClocksOfPosixHaveTimePoints) {
  const kevent::BootClock::time_point before = kevent::BootClock::now();
  timespec between = {};
  ASSERT_EQ(clock_gettime(CLOCK_BOOTTIME, &between), 0);
  const kevent::BootClock::time_point after = kevent::BootClock::now();
  EXPECT_LE(before.time_since_epoch(), kevent::detail::to_duration(between));
  EXPECT_LE(kevent::detail::to_duration(between), after.time_since_epoch());
  EXPECT_TRUE(kevent::BootClock::is_steady);
  EXPECT_FALSE(kevent::TaiClock::is_steady);
}

}  // namespace
