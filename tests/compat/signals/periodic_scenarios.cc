// SPDX-License-Identifier: MIT
//
// Timers with an interval: phase and overruns.

#include <climits>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

constexpr Nanos kPeriod = 2 * kMillisecond;

void FollowThree(Stage& stage, timer_t timer, const Deadline& deadline) {
  stage.SayRemainingUntil("armed", timer, deadline);
  int64_t consumed = stage.CollectAndSay("first", timer, deadline);
  consumed = stage.CollectAndSay("second", timer, deadline, consumed);
  consumed = stage.CollectAndSay("third", timer, deadline, consumed);
  stage.SayRemaining("remaining", timer, deadline, consumed);
}

void Relative(Stage& stage) {
  const timer_t timer = stage.Create();
  FollowThree(stage, timer, stage.ArmIn(timer, kPeriod, kPeriod));
}

void Absolute(Stage& stage) {
  const timer_t timer = stage.Create();
  FollowThree(stage, timer, stage.ArmAt(timer, stage.clock().Now() + kPeriod, kPeriod));
}

void LateStart(Stage& stage) {
  const timer_t timer = stage.Create();
  FollowThree(stage, timer, stage.ArmIn(timer, 4 * kPeriod, kPeriod));
}

void SoonStart(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kMillisecond, kHour);
  const int64_t consumed = stage.CollectAndSay("first", timer, deadline);
  stage.Say("expirations", consumed);
  stage.SayRemaining("remaining", timer, deadline);
  stage.SayWhatIsLeft("then");
}

// The phase is that of the arming, not that of the collection.
void TenPeriodsAsleep(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.clock().Now() + kPeriod, kPeriod);
  stage.clock().Pass(11 * kPeriod);
  const int64_t consumed = stage.CollectAndSay("completion", timer, deadline);
  stage.Say("at-least-nine", consumed >= 10 ? "yes" : "no");
  stage.SayRemaining("remaining", timer, deadline);
  stage.CollectAndSay("next", timer, deadline, consumed);
}

void PendingForPeriods(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kPeriod, kPeriod);
  stage.AwaitPending(deadline);
  stage.SayRemaining("pending", timer, deadline);
  stage.SayOverrun("getoverrun", timer);
  stage.clock().Pass(3 * kPeriod);
  stage.SayRemaining("later", timer, deadline);
  stage.SayOverrun("getoverrun", timer);
  stage.CollectAndSay("completion", timer, deadline);
}

// A moment long ago and a period that passed a few times since, on any clock.
Deadline ArmLongAgo(Stage& stage, timer_t timer) {
  const Nanos first = stage.Past(kHour);
  const Nanos interval = (stage.clock().Now() - first) * 2 / 15 + 1;
  return stage.ArmAt(timer, first, interval);
}

void AbsolutePast(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = ArmLongAgo(stage, timer);
  const int64_t consumed = stage.CollectAndSay("completion", timer, deadline);
  stage.Say("at-least-seven", consumed >= 8 ? "yes" : "no");
  stage.SayRemaining("remaining", timer, deadline);
}

void ShortestInterval(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.CollectAndSay("completion", timer, stage.ArmAt(timer, stage.Past(10 * kSecond), 1));
  stage.Disarm(timer);
}

// As of the last collected completion, until the next one or another setting.
void Getoverrun(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.clock().Now() + kPeriod, kPeriod);
  stage.clock().Pass(5 * kPeriod);
  const int64_t consumed = stage.CollectAndSay("completion", timer, deadline);
  const int frozen = timer_getoverrun(timer);
  // The next one is due when the period that runs is over.
  itimerspec value;
  timer_gettime(timer, &value);
  const Nanos next = stage.clock().Now() + kevent_test::ToNanos(value.it_value);
  stage.AwaitPending({next, next, kPeriod});
  stage.clock().Pass(3 * kPeriod);
  stage.Say("while-pending", timer_getoverrun(timer) == frozen ? "as-before" : "changed");
  timer_gettime(timer, &value);
  stage.Say("after-gettime", timer_getoverrun(timer) == frozen ? "as-before" : "changed");
  stage.CollectAndSay("next", timer, deadline, consumed);
  stage.ArmIn(timer, kHour);
  stage.SayOverrun("re-armed", timer);
}

void GetoverrunAfterDisarm(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = ArmLongAgo(stage, timer);
  stage.CollectAndSay("completion", timer, deadline);
  stage.Say("overruns", timer_getoverrun(timer) > 0 ? "some" : "none");
  stage.Disarm(timer);
  stage.SayOverrun("disarmed", timer);
}

void FarInterval(Stage& stage) {
  const timer_t timer = stage.Create();
  const itimerspec setting = {{LONG_MAX, 999'999'999}, {0, kMillisecond}};
  stage.Say("timer_settime", CallResult(stage.Set(timer, 0, &setting, nullptr)));
  Completion completion;
  if (stage.Collect(&completion)) stage.Say("overruns", completion.overruns);
  itimerspec value = {};
  timer_gettime(timer, &value);
  constexpr Nanos kCentury = 36'525 * 24 * kHour;
  // The next expiration may lie at the end of the axis.
  const Nanos now = stage.clock().Now();
  stage.Say("next-in-a-century",
            kevent_test::ToNanos(value.it_value) > kCentury - now ? "yes" : "no");
  stage.SayWhatIsLeft("then");
}

}  // namespace

std::vector<Scenario> PeriodicScenarios() {
  return {
      {"periodic, relative, collected as it comes", Relative},
      {"periodic, absolute, collected as it comes", Absolute},
      {"periodic, the first after four periods", LateStart},
      {"periodic, the first long before the second", SoonStart},
      {"periodic, asleep for ten periods: one completion", TenPeriodsAsleep},
      {"periodic, pending for some periods", PendingForPeriods},
      {"periodic, absolute, in the past", AbsolutePast},
      {"periodic, every nanosecond for ten seconds", ShortestInterval},
      {"periodic, with the largest interval", FarInterval},
      {"timer_getoverrun: frozen at collection", Getoverrun},
      {"timer_getoverrun: 0 after disarming", GetoverrunAfterDisarm},
  };
}

}  // namespace conformance
