// SPDX-License-Identifier: MIT
//
// Re-arming, disarming and deleting, before and after expiration.

#include <sys/utsname.h>

#include <cstdio>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

constexpr Nanos kShort = 4 * kMillisecond;

void RearmedLater(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kHour);
  stage.ArmIn(timer, 2 * kHour);
  const Deadline deadline = stage.ArmIn(timer, 3 * kHour);
  stage.SayRemaining("armed", timer, deadline);
  stage.SayWhatIsLeft("completion");
}

void RearmedAroundExpiry(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kShort / 2);
  const Deadline deadline = stage.ArmIn(timer, kShort);
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void RearmedSooner(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kHour);
  const Deadline deadline = stage.ArmIn(timer, kShort);
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void RearmedAHundredTimes(Stage& stage) {
  const timer_t timer = stage.Create();
  for (int i = 0; i < 100; ++i) stage.ArmIn(timer, kHour - i * kSecond);
  const Deadline deadline = stage.ArmAt(timer, stage.Past(kSecond));
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void RearmedWithCompletionPending(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.AwaitPending(stage.ArmAt(timer, stage.Past(kSecond)));
  const Deadline deadline = stage.ArmIn(timer, kHour);
  stage.SayWhatIsLeft("completion");
  stage.SayRemaining("armed", timer, deadline);
}

// One completion, for the setting of the moment.
void RearmedPastWithCompletionPending(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.AwaitPending(stage.ArmAt(timer, stage.Past(kSecond), kMillisecond));
  const Deadline deadline = stage.ArmAt(timer, stage.Past(kSecond));
  stage.CollectAndSay("completion", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void PeriodicMadeOneShot(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline periodic = stage.ArmIn(timer, kMillisecond, kMillisecond);
  stage.CollectAndSay("periodic", timer, periodic);
  const Deadline deadline = stage.ArmIn(timer, kShort);
  stage.CollectAndSay("one-shot", timer, deadline);
  stage.SayRemaining("afterwards", timer, deadline);
  stage.SayWhatIsLeft("then");
}

void Disarmed(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kHour, kHour);
  stage.Disarm(timer);
  stage.SayRemaining("remaining", timer, {});
  stage.Disarm(timer);
  stage.SayWhatIsLeft("completion");
  const Deadline deadline = stage.ArmIn(timer, kShort);
  stage.CollectAndSay("armed-again", timer, deadline);
}

// POSIX: a zero it_value disarms, whatever the interval and the flags are.
void ZeroValueWithInterval(Stage& stage) {
  for (const int flags : {0, TIMER_ABSTIME}) {
    const timer_t timer = stage.Create();
    stage.ArmIn(timer, kHour, kHour);
    const itimerspec zero = kevent_test::Setting(0, kMillisecond);
    stage.Say("timer_settime", CallResult(stage.Set(timer, flags, &zero, nullptr)));
    stage.SayRemaining("remaining", timer, {});
    stage.clock().Pass(2 * kMillisecond);
    stage.SayWhatIsLeft("completion");
  }
}

void DisarmedWithCompletionPending(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.AwaitPending(stage.ArmAt(timer, stage.Past(kSecond)));
  stage.Disarm(timer);
  stage.SayWhatIsLeft("completion");
  stage.SayOverrun("getoverrun", timer);
}

void PeriodicDisarmedWithCompletionPending(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.AwaitPending(stage.ArmIn(timer, kMillisecond, kMillisecond));
  stage.Disarm(timer);
  stage.clock().Pass(2 * kMillisecond);
  stage.SayWhatIsLeft("completion");
  stage.SayRemaining("remaining", timer, {});
}

void Deleted(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kMillisecond);
  stage.Say("timer_delete", CallResult(timer_delete(timer)));
  stage.clock().Pass(2 * kMillisecond);
  stage.SayWhatIsLeft("completion");
}

void DeletedWithCompletionPending(Stage& stage) {
  const timer_t timer = stage.Create();
  const timer_t other = stage.Create();
  stage.AwaitPending(stage.ArmAt(timer, stage.Past(kSecond), kMillisecond));
  stage.Delete(timer);
  stage.SayWhatIsLeft("completion");
  stage.CollectAndSay("another-timer", other, stage.ArmAt(other, stage.Past(kSecond)));
}

bool KernelIsBefore(int wanted_major, int wanted_minor) {
  utsname name;
  int major = 0;
  int minor = 0;
  uname(&name);
  if (std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major < wanted_major || (major == wanted_major && minor < wanted_minor);
}

// Signals that a kernel before 6.13 has queued stay queued, whatever becomes of
// their timer.  6.13 discards them when they are about to be delivered, with
// the sequence number that timer_settime and timer_delete advance
// (posixtimer_deliver_signal in kernel/time/posix-timers.c).
bool KernelDeliversStaleSignals() { return KernelIsBefore(6, 13); }

// 6.12 has one function that takes over an interval for every clock, and takes
// none over when the timer is disarmed (posix_timer_set_common, there); before,
// the one for CPU clocks did.
bool KernelKeepsIntervalOfDisarmed() { return KernelIsBefore(6, 12); }

constexpr KnownDifference kIntervalOfDisarmed = {
    .signal =
        "timer_settime=0 remaining=interval:1000000 completion=none timer_settime=0 "
        "remaining=interval:1000000 completion=none",
    .queue =
        "timer_settime=0 remaining=0 completion=none timer_settime=0 remaining=0 "
        "completion=none",
    .reason =
        "Kernels before 6.12 keep, for timers on CPU-time clocks alone, the interval that came "
        "with the setting that disarmed them.",
    .applies = KernelKeepsIntervalOfDisarmed,
};

constexpr char kStaleReason[] =
    "Kernels before 6.13 deliver a signal that was queued before the timer was re-armed, disarmed "
    "or deleted; a queue takes the completion back.";

constexpr KnownDifference kStale = {nullptr, "completion=none armed=until-first", kStaleReason,
                                    KernelDeliversStaleSignals};
constexpr KnownDifference kStalePast = {nullptr, "completion=overruns:0 then=none", kStaleReason,
                                        KernelDeliversStaleSignals};
// In these a busy machine lets a timer of milliseconds expire before the next call.
constexpr KnownDifference kStaleNear = {nullptr, "completion=overruns:0 then=none", kStaleReason,
                                        KernelDeliversStaleSignals};
constexpr KnownDifference kStaleNearDeleted = {nullptr, "timer_delete=0 completion=none",
                                               kStaleReason, KernelDeliversStaleSignals};
constexpr KnownDifference kStaleOneShot = {
    nullptr, "periodic=overruns-by-clock one-shot=overruns:0 afterwards=0 then=none", kStaleReason,
    KernelDeliversStaleSignals};
constexpr KnownDifference kStaleDisarmed = {nullptr, "completion=none getoverrun=0", kStaleReason,
                                            KernelDeliversStaleSignals};
constexpr KnownDifference kStalePeriodic = {nullptr, "completion=none remaining=0", kStaleReason,
                                            KernelDeliversStaleSignals};
constexpr KnownDifference kStaleDeleted = {nullptr, "completion=none another-timer=overruns:0",
                                           kStaleReason, KernelDeliversStaleSignals};

}  // namespace

std::vector<Scenario> ChangeScenarios() {
  return {
      {"re-armed before expiry: later", RearmedLater},
      {"re-armed before expiry: later, then it expires", RearmedAroundExpiry, Clocks::kEvery,
       &kStaleNear},
      {"re-armed before expiry: sooner", RearmedSooner},
      {"re-armed a hundred times: one completion", RearmedAHundredTimes},
      {"re-armed with a completion pending", RearmedWithCompletionPending, Clocks::kEvery, &kStale},
      {"re-armed in the past with a completion pending", RearmedPastWithCompletionPending,
       Clocks::kEvery, &kStalePast},
      {"periodic, re-armed as one-shot", PeriodicMadeOneShot, Clocks::kEvery, &kStaleOneShot},
      {"disarmed before expiry", Disarmed},
      {"value 0 with an interval disarms", ZeroValueWithInterval, Clocks::kEvery,
       &kIntervalOfDisarmed},
      {"disarmed with a completion pending", DisarmedWithCompletionPending, Clocks::kEvery,
       &kStaleDisarmed},
      {"periodic, disarmed with a completion pending", PeriodicDisarmedWithCompletionPending,
       Clocks::kEvery, &kStalePeriodic},
      {"deleted before expiry", Deleted, Clocks::kEvery, &kStaleNearDeleted},
      {"deleted with a completion pending", DeletedWithCompletionPending, Clocks::kEvery,
       &kStaleDeleted},
  };
}

}  // namespace conformance
