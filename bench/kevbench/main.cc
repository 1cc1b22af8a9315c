// SPDX-License-Identifier: MIT
//
// kevbench: libkevent beside every other way to wait for timers, in one process
// and one run.  ./tools/bench builds and runs it; docs/performance.md explains it.

#include <absl/flags/flag.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bench/kevbench/driver.h"
#include "bench/kevbench/growth.h"
#include "bench/kevbench/output.h"
#include "bench/kevbench/report.h"
#include "bench/kevbench/ways.h"
#include "tools/support/command_line.h"

ABSL_FLAG(std::string, workloads, "",
          "only these workloads, by their names, with commas between (all)");
ABSL_FLAG(bool, quick, false, "fewer repetitions: a third of the time");
ABSL_FLAG(bool, smoke, false, "every workload for a moment, for its counts and not its times");
ABSL_FLAG(bool, markdown, false, "print tables in Markdown");
ABSL_FLAG(
    std::string, output_dir, "",
    "write results.json, tables.md and what is plotted into this directory (nothing is written)");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");
ABSL_FLAG(bool, growth, false,
          "in place of the workloads: how the library's costs grow, up to 10 000 000 timers; takes "
          "minutes, and up to 4 GiB of memory");
ABSL_FLAG(std::string, memory_of, "",
          "only print the resident memory, in bytes, of --timers timers of this way");
ABSL_FLAG(
    std::string, creation_of, "",
    "only print what --timers timers of this way cost to make and delete, in nanoseconds each, "
    "the first time and again");
ABSL_FLAG(size_t, timers, 1'000'000, "how many timers --memory_of and --creation_of make");

namespace kevbench {
namespace {

// Ends the program where --workloads has a name that is none's.
void CheckSelection() {
  for (const absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_workloads), ',', absl::SkipEmpty())) {
    const auto& all = Workloads();
    if (std::any_of(all.begin(), all.end(), [&](const Workload& it) { return it.name == name; })) {
      continue;
    }
    kevent::tools::Misused(absl::StrCat("--workloads: there is no workload '", name, "'"));
  }
}

// Ends the program where the flag names a way that this program has not.
void CheckWay(absl::string_view flag, absl::string_view name) {
  for (const WayInfo& way : Ways()) {
    if (way.name == name && way.make != nullptr) return;
  }
  kevent::tools::Misused(absl::StrCat("--", flag, ": there is no way '", name, "'"));
}

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
    CheckWay("memory_of", way);
    return PrintMemory(way, absl::GetFlag(FLAGS_timers)) ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  if (const std::string way = absl::GetFlag(FLAGS_creation_of); !way.empty()) {
    CheckWay("creation_of", way);
    return PrintCreation(way, absl::GetFlag(FLAGS_timers), pace) ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  CheckSelection();
  const std::string directory = absl::GetFlag(FLAGS_output_dir);
  StartDriver();
  Results results;
  bool passed = true;
  std::string markdown = DescribeMachine() + "\n";
  const auto report = [&](const auto& make) {
    const std::string in_markdown = make(Style{true, pace});
    absl::StrAppend(&markdown, in_markdown, "\n");
    std::printf("%s\n", (style.markdown ? in_markdown : make(style)).c_str());
    std::fflush(stdout);
  };
  std::printf("%s\n", markdown.c_str());
  if (absl::GetFlag(FLAGS_growth)) {
    passed = RunGrowth(pace, &results);
    report([&](const Style& of) { return ReportGrowth(results, of); });
    if (!directory.empty()) {
      WriteGrowth(directory, results, ReportGrowth(results, Style{true, pace}));
    }
    return passed ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  for (const Workload& workload : Workloads()) {
    if (!Selected(workload)) continue;
    passed = RunWorkload(workload, pace, &results) && passed;
    report([&](const Style& of) { return Report(workload, results, of); });
  }
  // At the numbers of a moment's run nothing is to be reached.
  if (pace != Pace::kSmoke) {
    report([&](const Style& of) { return ReportTargets(results, of); });
  }
  AddGoals(results, kevent::bench::Goals(absl::GetFlag(FLAGS_goals)));
  if (!directory.empty()) WriteFiles(directory, results, markdown);
  if (!passed) std::fprintf(stderr, "kevbench: a count was WRONG, see above\n");
  return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace kevbench

int main(int argc, char** argv) {
  std::string what =
      "Measures libkevent beside other ways to wait for timers, in a few minutes, and prints a\n"
      "table for each workload.  Exits with 1 if a way has not counted what it was to count.\n\n"
      "Workloads:";
  for (const kevbench::Workload& workload : kevbench::Workloads()) {
    absl::StrAppend(&what, "\n  ", workload.name, ": ", workload.title);
  }
  absl::StrAppend(&what, "\n\nWays:");
  for (const kevbench::WayInfo& way : kevbench::Ways()) {
    if (way.make != nullptr) absl::StrAppend(&what, "\n  ", way.name);
  }
  kevent::tools::ParseCommandLine(argc, argv, what);
  return kevbench::Run();
}
