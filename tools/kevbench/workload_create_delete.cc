// SPDX-License-Identifier: MIT
//
// N timers are created, and then deleted, never armed.

#include "tools/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<Metrics> RunCreateAndDelete(const WayInfo& info, size_t count, Pace pace) {
  Recorder recorder(count);
  const std::unique_ptr<Way> way = info.make(&recorder);
  if (!way->has_timer_objects()) return absl::UnimplementedError("no object");
  if (absl::Status room = way->Reserve(count); !room.ok()) return room;

  // A small number of them many times over; a large number once is enough.
  const Nanoseconds end = Now() + Slice(pace);
  const Nanoseconds begin = CpuTime();
  size_t done = 0;
  do {
    for (size_t i = 0; i < count; ++i) way->Create(i);
    for (size_t i = 0; i < count; ++i) way->Delete(i);
    way->Deleted();
    done += count;
  } while (Now() < end);
  const auto cost = static_cast<double>(CpuTime() - begin) / static_cast<double>(done);
  way->Collect();
  if (recorder.total() != 0) return absl::InternalError("a timer that was never armed expired");
  return Metrics{{"ns", cost}};
}

}  // namespace kevbench
