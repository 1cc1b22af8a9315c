// SPDX-License-Identifier: MIT
//
// The timeout that never fires: beside N live timers, one of 256 others is set, 10
// to 70 s ahead, and disarmed; a turn without waiting after every 256.  In batches, 256
// are set, and then disarmed.

#include <array>

#include "bench/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<Metrics> RunArmAndCancel(const WayInfo& info, size_t count, Pace pace) {
  const size_t all = count + kBatch;
  auto timers = Timers::Make(info, all);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Random random;
  (*timers)->ArmAll(random);
  for (size_t i = count; i < all; ++i) way.Disarm(i);
  way.Collect();

  // A batch that had each timer twice would be another workload.
  const bool in_batches = info.kind == Kind::kLibkeventBatches;
  std::array<size_t, kBatch> timers_of_turn;
  // Of CPU time as well: beside other processes fewer settings would say little.
  const Nanoseconds end = Now() + Slice(pace);
  const Nanoseconds begin = CpuTime();
  size_t done = 0;
  do {
    way.TakeTime();
    for (size_t i = 0; i < kBatch; ++i) {
      timers_of_turn[i] = count + random.Below(kBatch);
      way.ArmIn(timers_of_turn[i], random.TenToSeventySeconds());
      if (!in_batches) way.Disarm(timers_of_turn[i]);
    }
    if (in_batches) {
      for (const size_t timer : timers_of_turn) way.Disarm(timer);
    }
    way.Collect();
    done += kBatch;
  } while (Now() < end || CpuTime() - begin < Slice(pace));
  const auto cost = static_cast<double>(CpuTime() - begin) / static_cast<double>(done);
  if (absl::Status none = (*timers)->NoneExpired(); !none.ok()) return none;
  return Metrics{{"ns", cost}};
}

}  // namespace kevbench
