// SPDX-License-Identifier: MIT
//
// kevbench: libkevent beside every other way to wait for timers, in one process
// and one run.  ./tools/bench builds and runs it; docs/performance.md explains it.

#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tools/kevbench/driver.h"
#include "tools/kevbench/report.h"

ABSL_FLAG(std::string, workloads, "", "comma-separated names of workloads; empty: all");
ABSL_FLAG(bool, quick, false, "fewer repetitions: about a minute");
ABSL_FLAG(bool, smoke, false, "every workload for a moment, for its counts and not its times");
ABSL_FLAG(bool, markdown, false, "print tables in Markdown");
ABSL_FLAG(std::string, memory_of, "",
          "only print the resident bytes of --timers timers of this way");
ABSL_FLAG(size_t, timers, 1'000'000, "for --memory_of");

namespace kevbench {
namespace {

bool Selected(const Workload& workload) {
  const std::string wanted = absl::GetFlag(FLAGS_workloads);
  if (wanted.empty()) return true;
  for (const absl::string_view name : absl::StrSplit(wanted, ',')) {
    if (name == workload.name) return true;
  }
  return false;
}

int Run() {
  const Pace pace = absl::GetFlag(FLAGS_smoke)   ? Pace::kSmoke
                    : absl::GetFlag(FLAGS_quick) ? Pace::kQuick
                                                 : Pace::kFull;
  const Style style = {absl::GetFlag(FLAGS_markdown), pace};
  RaiseLimits();
  if (const std::string way = absl::GetFlag(FLAGS_memory_of); !way.empty()) {
    return PrintMemory(way, absl::GetFlag(FLAGS_timers)) ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  StartDriver();
  Results results;
  bool passed = true;
  for (const Workload& workload : Workloads()) {
    if (!Selected(workload)) continue;
    passed = RunWorkload(workload, pace, &results) && passed;
    std::printf("%s\n", Report(workload, results, style).c_str());
    std::fflush(stdout);
  }
  return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace kevbench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("measures libkevent beside other ways to wait for timers.");
  absl::ParseCommandLine(argc, argv);
  return kevbench::Run();
}
