// SPDX-License-Identifier: MIT
//
// What a completion says, and the phase of periodic timers.

#include <limits.h>

#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// The number of overruns of a timer that expires at `first` and every
// `interval` from then on, when it is collected at `now`.
Nanos OverrunsAt(Nanos now, Nanos first, Nanos interval) { return (now - first) / interval; }

TEST(Phase, IsKeptWhileTheProgramSleepsThroughTenPeriods) {
  constexpr Nanos kPeriod = 4 * kMillisecond;
  Queue queue;
  Timer timer(queue.fd(), 42);
  const Nanos first = Now(CLOCK_MONOTONIC) + kPeriod;
  timer.ArmAt(first, kPeriod);
  SleepUntil(CLOCK_MONOTONIC, first + 9 * kPeriod + kPeriod / 2);

  const Nanos before = Now(CLOCK_MONOTONIC);
  const std::vector<ukevent> events = Collect(queue.fd(), 1, 8);
  const Nanos after = Now(CLOCK_MONOTONIC);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(Cookie(events[0]), 42u);
  const Nanos overruns = events[0].ret_data[0];
  EXPECT_GE(overruns, 9);
  EXPECT_GE(overruns, OverrunsAt(before, first, kPeriod));
  EXPECT_LE(overruns, OverrunsAt(after, first, kPeriod));
  EXPECT_EQ(timer_getoverrun(timer.id()), overruns);

  // The next one comes when it would have come had we been awake.
  ASSERT_EQ(Collect(queue.fd(), 1, 8).size(), 1u);
  EXPECT_GE(Now(CLOCK_MONOTONIC), first + (overruns + 1) * kPeriod);
}

TEST(Phase, IsKeptWhetherOrNotCollected) {
  constexpr Nanos kPeriod = kMillisecond;
  Queue queue;
  Timer timer(queue.fd(), 1);
  const Nanos first = Now(CLOCK_MONOTONIC) + kPeriod;
  timer.ArmAt(first, kPeriod);
  Nanos expirations = 0;
  for (int i = 0; i < 20; ++i) {
    if (i % 4 == 0) SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + 3 * kPeriod);
    const Nanos before = Now(CLOCK_MONOTONIC);
    const std::vector<ukevent> events = Collect(queue.fd(), 1, 1);
    const Nanos after = Now(CLOCK_MONOTONIC);
    ASSERT_EQ(events.size(), 1u);
    expirations += 1 + Nanos{events[0].ret_data[0]};
    EXPECT_LE(expirations, 1 + OverrunsAt(after, first, kPeriod)) << "early";
    if (before >= first) {
      EXPECT_GE(expirations, 1 + OverrunsAt(before, first, kPeriod)) << "lost";
    }
  }
}

TEST(Phase, IsWhatGettimeReports) {
  constexpr Nanos kPeriod = kHour;
  Queue queue;
  Timer timer(queue.fd(), 1);
  const Nanos now = Now(CLOCK_MONOTONIC);
  const Nanos first = now / 2;
  timer.ArmAt(first, kPeriod);
  for (int collected = 0; collected < 2; ++collected) {
    const Nanos before = Now(CLOCK_MONOTONIC);
    const itimerspec value = timer.Get();
    const Nanos after = Now(CLOCK_MONOTONIC);
    EXPECT_EQ(ToNanos(value.it_interval), kPeriod);
    const Nanos remaining = ToNanos(value.it_value);
    EXPECT_GT(remaining, 0);
    EXPECT_LE(remaining, kPeriod);
    // [before, after] + remaining holds a moment of the phase.
    EXPECT_GT((after + remaining - first) / kPeriod, (before + remaining - first - 1) / kPeriod);
    Collect(queue.fd(), collected == 0 ? 1 : 0, 1);
  }
}

TEST(Completion, IsARecordOf2006) {
  Queue queue;
  int my_cookie;
  Timer timer(queue.fd(), reinterpret_cast<uintptr_t>(&my_cookie));
  timer.Expire();
  const ukevent event = Collect(queue.fd(), 1, 1).at(0);
  EXPECT_EQ(event.id.raw_u64, timer.id_bits());
  EXPECT_EQ(event.type, uint32_t{KEVENT_POSIX_TIMER});
  EXPECT_EQ(event.event, uint32_t{KEVENT_TIMER_FIRED});
  EXPECT_EQ(event.req_flags, 0u);
  EXPECT_EQ(event.ret_flags, uint32_t{KEVENT_RET_DONE});
  EXPECT_EQ(event.ret_data[0], 0u);
  EXPECT_EQ(event.ptr, &my_cookie);
}

TEST(Completion, TellsItsLateness) {
  constexpr Nanos kPeriod = 700 * kMillisecond;
  Queue queue;
  Timer timer(queue.fd(), 1);
  const Nanos first = Now(CLOCK_MONOTONIC) - 2 * kSecond;
  timer.ArmAt(first, kPeriod);
  const Nanos before = Now(CLOCK_MONOTONIC);
  const ukevent event = Collect(queue.fd(), 1, 1).at(0);
  const Nanos after = Now(CLOCK_MONOTONIC);
  // Of the last expiration that it reports, not of the first.
  const Nanos last = first + Nanos{event.ret_data[0]} * kPeriod;
  EXPECT_GE(event.ret_data[1], before - last);
  EXPECT_LE(event.ret_data[1], after - last);
}

TEST(Completion, SaturatesItsLateness) {
  Queue queue;
  Timer timer(queue.fd(), 1, CLOCK_REALTIME);
  timer.ArmAt(Now(CLOCK_REALTIME) - 5 * kSecond);
  EXPECT_EQ(Collect(queue.fd(), 1, 1).at(0).ret_data[1], UINT32_MAX);
}

TEST(Completion, SaturatesItsOverruns) {
  Queue queue;
  Timer timer(queue.fd(), 1, CLOCK_REALTIME);
  timer.ArmAt(1, 1);  // 10^18 expirations
  EXPECT_EQ(Collect(queue.fd(), 1, 1).at(0).ret_data[0], uint32_t{INT_MAX});
  EXPECT_EQ(timer_getoverrun(timer.id()), INT_MAX);
  // Once more, at most: it goes on expiring.
  timer.ArmAt(Now(CLOCK_REALTIME) - 3 * kSecond, 1);
  EXPECT_EQ(timer_getoverrun(timer.id()), 0);
  EXPECT_EQ(Collect(queue.fd(), 1, 1).at(0).ret_data[0], uint32_t{INT_MAX});
}

TEST(Completion, IsOneHoweverOftenTheTimerExpired) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  timer.ArmAt(Now(CLOCK_MONOTONIC) / 2, kHour);
  EXPECT_EQ(Collect(queue.fd(), 0, 8).size(), 1u);
  EXPECT_EQ(Collect(queue.fd(), 0, 8).size(), 0u);
}

}  // namespace
}  // namespace kevent_test
