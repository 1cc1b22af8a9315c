// SPDX-License-Identifier: MIT
//
// Resident bytes of a live timer, in a process of its own.

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>

#include "tools/kevbench/workload.h"

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
    way->TakeTime();
    for (size_t i = 0; i < count; ++i) way->ArmIn(i, random.TenToSeventySeconds());
    way->Collect();
    std::printf("%llu\n", static_cast<unsigned long long>(ResidentBytes() - before));
    std::fflush(stdout);
    Check(recorder.total() == 0, "a timer expired before its time");
    // What the kernel has to take back, it takes back.
    std::_Exit(EXIT_SUCCESS);
  }
  return false;
}

absl::StatusOr<Metrics> RunMemory(const WayInfo& info, size_t count, Pace /*pace*/) {
  // What the kernel keeps for a timer is not in any process's resident set.
  if (info.kind == Kind::kKernel) return absl::UnimplementedError("in the kernel");
  const std::string command =
      absl::StrCat("exec /proc/", getpid(), "/exe --memory_of=", info.name, " --timers=", count);
  FILE* const child = popen(command.c_str(), "re");
  Check(child != nullptr, "popen");
  std::string printed;
  for (int c = fgetc(child); c != EOF && c != '\n'; c = fgetc(child)) {
    printed.push_back(static_cast<char>(c));
  }
  if (pclose(child) != 0) return absl::InternalError("the process that measures memory failed");
  uint64_t bytes;
  if (!absl::SimpleAtoi(printed, &bytes)) return absl::ResourceExhaustedError(printed);
  return Metrics{{"bytes", static_cast<double>(bytes) / static_cast<double>(count)}};
}

}  // namespace kevbench
