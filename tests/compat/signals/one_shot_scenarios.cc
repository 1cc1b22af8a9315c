// SPDX-License-Identifier: MIT
//
// Timers that expire once.

#include <climits>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

constexpr Nanos kShort = 4 * kMillisecond;

// What is to be seen of a one-shot timer from its arming on.
void Follow(Stage& stage, timer_t timer, const Deadline& deadline) {
  stage.SayRemainingUntil("armed", timer, deadline);
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayRemaining("afterwards", timer, deadline);
  stage.SayOverrun("getoverrun", timer);
  stage.SayWhatIsLeft("then");
}

void Relative(Stage& stage) {
  const timer_t timer = stage.Create();
  Follow(stage, timer, stage.ArmIn(timer, kShort));
}

void Absolute(Stage& stage) {
  const timer_t timer = stage.Create();
  Follow(stage, timer, stage.ArmAt(timer, stage.clock().Now() + kShort));
}

void ShortestRelative(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, 1);
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void AbsolutePast(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.Past(kHour));
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayRemaining("afterwards", timer, deadline);
  stage.SayOverrun("getoverrun", timer);
  stage.SayWhatIsLeft("then");
}

void EarliestAbsolute(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.CollectAndSay("completion", timer, stage.ArmAt(timer, 1));
  stage.SayWhatIsLeft("then");
}

void WaitingToBeCollected(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kShort);
  stage.AwaitPending(deadline);
  stage.SayRemaining("pending", timer, deadline);
  stage.SayOverrun("getoverrun", timer);
  stage.clock().Pass(kShort);
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void ArmedAgain(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.CollectAndSay("first", timer, stage.ArmIn(timer, kMillisecond));
  stage.CollectAndSay("second", timer, stage.ArmAt(timer, stage.Past(kSecond)));
  stage.CollectAndSay("third", timer, stage.ArmAt(timer, stage.clock().Now() + kMillisecond));
  stage.SayWhatIsLeft("then");
}

// The kernel looks at TIMER_ABSTIME alone.
void UnknownFlags(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.CollectAndSay("relative", timer, stage.ArmIn(timer, kShort, 0, ~TIMER_ABSTIME));
  stage.CollectAndSay("absolute", timer,
                      stage.ArmAt(timer, stage.Past(kSecond), 0, ~TIMER_ABSTIME));
  const Deadline far = stage.ArmAt(timer, stage.clock().Now() + kHour, 0, 0x40);
  stage.SayRemaining("armed", timer, far);
}

constexpr itimerspec kFarthest = {{0, 0}, {LONG_MAX, 999'999'999}};
constexpr Nanos kCentury = 36'525 * 24 * kHour;

void Far(Stage& stage) {
  const timer_t timer = stage.Create();
  for (const int flags : {0, TIMER_ABSTIME}) {
    stage.Say(flags == 0 ? "relative" : "absolute",
              CallResult(stage.Set(timer, flags, &kFarthest, nullptr)));
    itimerspec value = {};
    timer_gettime(timer, &value);
    // As an absolute moment on a clock that counts from 1970 the limit is not
    // a century away; an alarm on that clock is one when it is relative, too.
    const bool is_moment = flags != 0 || stage.clock().id() == CLOCK_REALTIME_ALARM;
    const Nanos elapsed = is_moment ? stage.clock().Now() : 0;
    stage.Say("a-century",
              kevent_test::ToNanos(value.it_value) > kCentury - elapsed ? "yes" : "no");
    stage.SayWhatIsLeft("completion");
  }
  stage.CollectAndSay("armed-near-again", timer, stage.ArmIn(timer, kMillisecond));
}

void HowFar(Stage& stage) {
  const timer_t timer = stage.Create();
  const itimerspec farthest = {kFarthest.it_value, kFarthest.it_value};
  stage.Set(timer, 0, &farthest, nullptr);
  itimerspec value = {};
  timer_gettime(timer, &value);
  constexpr long kYear = 31'556'952;  // of the Gregorian calendar
  stage.Say("years", value.it_value.tv_sec / kYear);
  stage.Say("interval", value.it_interval.tv_sec / kYear);
}

constexpr KnownDifference kHowFar = {
    .signal = "years=292 interval=292",
    .queue = "years=146 interval=146",
    .reason =
        "Deadlines and intervals saturate at 2^62-1 ns, where the kernel's do at 2^63-1: the "
        "setting shares its 16-byte word with the bits that make a swap safe.",
};

}  // namespace

std::vector<Scenario> OneShotScenarios() {
  return {
      {"one-shot, relative", Relative},
      {"one-shot, absolute", Absolute},
      {"one-shot, relative, 1 ns", ShortestRelative},
      {"one-shot, absolute, in the past", AbsolutePast},
      {"one-shot, absolute, 1 ns after the clock's start", EarliestAbsolute},
      {"one-shot, expired and not yet collected", WaitingToBeCollected},
      {"one-shot, armed again after each collection", ArmedAgain},
      {"timer_settime with unknown flag bits", UnknownFlags},
      {"timer_settime with the largest tv_sec", Far},
      {"what the largest tv_sec saturates at", HowFar, Clocks::kOne, &kHowFar},
  };
}

}  // namespace conformance
