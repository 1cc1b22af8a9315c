// SPDX-License-Identifier: MIT
//
// Resident bytes of a live timer, in a process of its own.

#include <absl/strings/numbers.h>

#include <cstdio>
#include <fstream>

#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

uint64_t ResidentBytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  uint64_t kilobytes = 0;
  while (rollup >> word) {
    if (word == "Rss:" && rollup >> kilobytes) break;
  }
  return kilobytes * 1024;
}

}  // namespace

// Prints bytes, or nothing when there can't be so many.
bool PrintMemory(absl::string_view name, size_t count) {
  for (const WayInfo& info : Ways()) {
    if (info.name != name || info.make == nullptr) continue;
    Recorder recorder(count);
    const std::unique_ptr<Way> way = info.make(&recorder);
    const uint64_t before = ResidentBytes();
    if (absl::Status room = way->Reserve(count); !room.ok()) {
      std::printf("%s\n", std::string(room.message()).c_str());
      return true;
    }
    for (size_t i = 0; i < count; ++i) way->Create(i);
    Random random;
    const Nanoseconds armed = Now();
    way->TakeTime();
    for (size_t i = 0; i < count; ++i) way->ArmIn(i, random.TenToSeventySeconds());
    way->Collect();
    const uint64_t bytes = ResidentBytes() - before;
    if (MayHaveExpired(armed)) {
      std::printf("%s\n", std::string(kTookTooLong).c_str());
    } else {
      Check(recorder.total() == 0, "a timer expired before its time");
      std::printf("%llu\n", static_cast<unsigned long long>(bytes));
    }
    std::fflush(stdout);
    // What the kernel has to take back, it takes back.
    std::_Exit(EXIT_SUCCESS);
  }
  return false;
}

absl::StatusOr<Metrics> RunMemory(const WayInfo& info, size_t count, Pace pace) {
  // What the kernel keeps for a timer is not in any process's resident set.
  if (info.kind == Kind::kKernel) return absl::UnimplementedError("in the kernel");
  const absl::StatusOr<std::string> printed = LineOfOwnProcess("memory_of", info, count, pace);
  if (!printed.ok()) return printed.status();
  uint64_t bytes;
  if (!absl::SimpleAtoi(*printed, &bytes)) return absl::ResourceExhaustedError(*printed);
  return Metrics{{"bytes", static_cast<double>(bytes) / static_cast<double>(count)}};
}

}  // namespace kevbench
