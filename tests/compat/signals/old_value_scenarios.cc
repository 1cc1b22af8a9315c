// SPDX-License-Identifier: MIT
//
// The setting that timer_settime returns for the one it replaces.

#include <cstring>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

// Replaces the setting and says what the call returned for the old one.
void Replace(Stage& stage, timer_t timer, const Deadline& old_deadline, Nanos value) {
  itimerspec old = {{77, 77}, {77, 77}};
  const Nanos before = stage.clock().Now();
  stage.ArmIn(timer, value, 0, 0, &old);
  stage.SayRemaining("old", old, old_deadline, before, stage.clock().Now());
}

void NeverArmed(Stage& stage) { Replace(stage, stage.Create(), {}, kHour); }

void ArmedRelative(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour, 3 * kSecond);
  Replace(stage, timer, deadline, 2 * kHour);
}

void ArmedAbsolute(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.clock().Now() + kHour, 7);
  Replace(stage, timer, deadline, 2 * kHour);
}

void ByDisarming(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour, 1);
  Replace(stage, timer, deadline, 0);
  Replace(stage, timer, {}, 0);
}

void ExpiredOneShot(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.Past(kSecond));
  stage.AwaitPending(deadline);
  Replace(stage, timer, deadline, 0);
}

void CollectedOneShot(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmAt(timer, stage.Past(kSecond));
  stage.CollectAndSay("completion", timer, deadline);
  Replace(stage, timer, deadline, 0);
}

void ExpiredPeriodic(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kMillisecond, kMillisecond);
  stage.AwaitPending(deadline);
  stage.clock().Pass(3 * kMillisecond);
  Replace(stage, timer, deadline, 0);
}

void CollectedPeriodic(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kMillisecond, kHour);
  stage.CollectAndSay("completion", timer, deadline);
  Replace(stage, timer, deadline, 0);
}

void FailedCall(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kHour);
  itimerspec old;
  itimerspec untouched;
  std::memset(&old, 0x5a, sizeof old);
  std::memset(&untouched, 0x5a, sizeof untouched);
  const itimerspec bad = {{0, 0}, {0, 1'000'000'000}};
  stage.Say("timer_settime", CallResult(stage.Set(timer, 0, &bad, &old)));
  stage.Say("old", std::memcmp(&old, &untouched, sizeof old) == 0 ? "untouched" : "written");
}

}  // namespace

std::vector<Scenario> OldValueScenarios() {
  return {
      {"old value: never armed", NeverArmed},
      {"old value: armed, relative", ArmedRelative},
      {"old value: armed, absolute", ArmedAbsolute},
      {"old value: of disarming, twice", ByDisarming},
      {"old value: one-shot, expired, not collected", ExpiredOneShot},
      {"old value: one-shot, expired, collected", CollectedOneShot},
      {"old value: periodic, expired, not collected", ExpiredPeriodic},
      {"old value: periodic, expired, collected", CollectedPeriodic},
      {"old value: of a call that fails", FailedCall, Clocks::kOne},
  };
}

}  // namespace conformance
