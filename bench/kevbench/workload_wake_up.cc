// SPDX-License-Identifier: MIT
//
// One timer, 200 microseconds ahead, and nothing to do until then: how late its
// expiry is known.  A run is a round; rounds of the ways are interleaved.

#include <absl/strings/str_cat.h>

#include "bench/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<Metrics> RunWakeUp(const WayInfo& info, size_t count, Pace pace) {
  const uint64_t samples = pace == Pace::kSmoke ? 5 : 250;
  auto timers = Timers::Make(info, count);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Recorder& recorder = (*timers)->recorder();
  recorder.Sample(1, samples);
  for (uint64_t i = 1; i <= samples; ++i) {
    way.TakeTime();
    const Nanoseconds due = Now() + 200 * kMicrosecond;
    recorder.DueAt(0, due);
    way.ArmAt(0, due);
    if (!(*timers)->WaitFor(i)) return absl::InternalError(absl::StrCat("no expiry ", i));
  }
  way.Collect();
  if (absl::Status each = (*timers)->EachExpired(samples); !each.ok()) return each;
  Metrics metrics;
  AddPercentiles(recorder.lateness(), &metrics);
  return metrics;
}

}  // namespace kevbench
