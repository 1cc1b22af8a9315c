// SPDX-License-Identifier: MIT
//
// Timers that are due already are armed, 256 of N in turn, and then collected.

#include <absl/strings/str_cat.h>

#include "bench/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<Metrics> RunBurst(const WayInfo& info, size_t count, Pace pace) {
  auto timers = Timers::Make(info, count);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();

  const Nanoseconds end = Now() + Slice(pace);
  const Nanoseconds begin = CpuTime();
  uint64_t armed = 0;
  size_t next = 0;
  do {
    way.TakeTime();
    const Nanoseconds past = Now() - kMillisecond;
    for (size_t i = 0; i < kBatch; ++i) {
      way.ArmAt(next, past);
      if (++next == count) next = 0;
    }
    armed += kBatch;
    way.Collect();
    if (!(*timers)->WaitFor(armed)) {
      return absl::InternalError(
          absl::StrCat((*timers)->recorder().total(), " expirations of ", armed));
    }
  } while (Now() < end);
  const auto cost = static_cast<double>(CpuTime() - begin) / static_cast<double>(armed);

  way.Collect();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t expected = armed / count + (i < armed % count ? 1 : 0);
    if ((*timers)->recorder().count(i) == expected) continue;
    return absl::InternalError(absl::StrCat(
        "timer ", i, " expired ", (*timers)->recorder().count(i), " times, not ", expected));
  }
  return Metrics{{"ns", cost}};
}

}  // namespace kevbench
