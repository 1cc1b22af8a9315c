// SPDX-License-Identifier: MIT
//
// N timers are created, and then deleted, never armed; in a process of its own, so
// that it does not matter what ran before: the first time, where the memory for
// them is new, and then again.

#include <cstdio>

#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

void CreateAndDelete(Way& way, size_t count) {
  for (size_t i = 0; i < count; ++i) way.Create(i);
  for (size_t i = 0; i < count; ++i) way.Delete(i);
  way.Deleted();
}

}  // namespace

// Prints the two costs, or why there can't be so many.
bool PrintCreation(absl::string_view name, size_t count, Pace pace) {
  for (const WayInfo& info : Ways()) {
    if (info.name != name || info.make == nullptr) continue;
    Recorder recorder(count);
    const std::unique_ptr<Way> way = info.make(&recorder);
    if (absl::Status room = way->Reserve(count); !room.ok()) {
      std::printf("%s\n", std::string(room.message()).c_str());
      return true;
    }
    const Nanoseconds before = CpuTime();
    CreateAndDelete(*way, count);
    const Nanoseconds begin = CpuTime();
    // A small number of them many times over; a large number once is enough.
    const Nanoseconds end = Now() + Slice(pace);
    size_t done = 0;
    do {
      CreateAndDelete(*way, count);
      done += count;
    } while (Now() < end);
    const Nanoseconds after = CpuTime();
    way->Collect();
    Check(recorder.total() == 0, "a timer that was never armed expired");
    std::printf("%.2f %.2f\n", static_cast<double>(begin - before) / static_cast<double>(count),
                static_cast<double>(after - begin) / static_cast<double>(done));
    return true;
  }
  return false;
}

absl::StatusOr<Metrics> RunCreateAndDelete(const WayInfo& info, size_t count, Pace pace) {
  {
    Recorder recorder(1);
    const std::unique_ptr<Way> way = info.make(&recorder);
    if (!way->has_timer_objects()) return absl::UnimplementedError("no object");
  }
  const absl::StatusOr<std::string> printed = LineOfOwnProcess("creation_of", info, count, pace);
  if (!printed.ok()) return printed.status();
  double first;
  double again;
  if (std::sscanf(printed->c_str(), "%lf %lf", &first, &again) != 2) {
    return absl::ResourceExhaustedError(*printed);
  }
  Metrics metrics = {{"ns", again}};
  // Of one alone it is mostly what else is new to the process.
  if (count > 1) metrics["first"] = first;
  return metrics;
}

}  // namespace kevbench
