// SPDX-License-Identifier: MIT
//
// Of N live timers a random one is set again, relative, 10 to 70 s ahead; a turn
// without waiting after every 256.  Nothing expires.

#include "bench/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<Metrics> RunRearm(const WayInfo& info, size_t count, Pace pace) {
  auto timers = Timers::Make(info, count);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Random random;
  (*timers)->ArmAll(random);

  // Of CPU time as well: beside other processes fewer settings would say little.
  const Nanoseconds end = Now() + Slice(pace);
  const Nanoseconds begin = CpuTime();
  size_t done = 0;
  do {
    way.TakeTime();
    for (size_t i = 0; i < kBatch; ++i)
      way.ArmIn(random.Below(count), random.TenToSeventySeconds());
    way.Collect();
    done += kBatch;
  } while (Now() < end || CpuTime() - begin < Slice(pace));
  const auto cost = static_cast<double>(CpuTime() - begin) / static_cast<double>(done);
  if (absl::Status none = (*timers)->NoneExpired(); !none.ok()) return none;
  return Metrics{{"ns", cost}};
}

}  // namespace kevbench
