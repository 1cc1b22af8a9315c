// SPDX-License-Identifier: MIT

#include "bench/kevbench/output.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <gnu/libc-version.h>
#include <kevent/kevent.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <thread>

#include "bench/kevbench/table.h"
#include "bench/kevbench/versions.h"

namespace kevbench {
namespace {

#ifdef __clang__
constexpr absl::string_view kCompiler = "compiled by";  // it names itself
#else
constexpr absl::string_view kCompiler = "compiled by gcc";
#endif

std::string Quoted(absl::string_view text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
}

std::string Processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.find("model name") == 0) return line.substr(line.find(':') + 2);
  }
  return "a processor without a name";
}

std::string InJson(const Results& results) {
  std::vector<std::string> cells;
  for (const auto& [key, cell] : results.cells()) {
    const auto& [workload, timers, way] = key;
    std::vector<std::string> repetitions;
    for (const Metrics& metrics : cell.repetitions) {
      std::vector<std::string> values;
      for (const auto& [name, value] : metrics) {
        values.push_back(absl::StrCat(Quoted(name), ": ", value));
      }
      repetitions.push_back(absl::StrCat("{", absl::StrJoin(values, ", "), "}"));
    }
    cells.push_back(absl::StrCat("  {\"workload\": ", Quoted(workload), ", \"timers\": ", timers,
                                 ", \"way\": ", Quoted(way), ", \"note\": ", Quoted(cell.note),
                                 ",\n   \"repetitions\": [",
                                 absl::StrJoin(repetitions, ",\n                   "), "]}"));
  }
  return absl::StrCat("{\"machine\": ", Quoted(DescribeMachine()), ",\n \"cells\": [\n",
                      absl::StrJoin(cells, ",\n"), "\n ]}\n");
}

// A line each for the numbers of timers, a column for each way.
std::string CostColumns(const Workload& workload, const Results& results) {
  std::string out = "timers";
  for (const WayInfo& way : Ways()) absl::StrAppend(&out, "\t", way.name);
  for (const size_t timers : workload.sizes) {
    absl::StrAppend(&out, "\n", timers);
    for (const WayInfo& way : Ways()) {
      const auto value = results.Median(workload.name, timers, way.name, "ns");
      absl::StrAppend(&out, "\t", value ? absl::StrCat(*value) : "NaN");
    }
  }
  return out + "\n";
}

// A line each for the percentiles, in microseconds.
std::string LatenessColumns(const Workload& workload, size_t timers, const Results& results) {
  std::string out = "percent";
  for (const WayInfo& way : Ways()) absl::StrAppend(&out, "\t", way.name);
  for (const double percent : kPercentiles) {
    absl::StrAppend(&out, "\n", percent);
    for (const WayInfo& way : Ways()) {
      const auto value =
          results.Median(workload.name, timers, way.name, absl::StrCat("p", percent));
      absl::StrAppend(&out, "\t", value ? absl::StrCat(*value / 1000) : "NaN");
    }
  }
  return out + "\n";
}

// What the picture shows: for each panel a block of bars, with their names, nanoseconds, what is
// written beside them, and their colours.
std::string SummaryBlocks(const Results& results) {
  struct Panel {
    absl::string_view workload;
    size_t timers;
  };
  constexpr Panel kPanels[] = {
      {"re-arm", 10'000}, {"arm-cancel", 10'000}, {"create-delete", 10'000}, {"periodic", 1'000}};
  std::string out;
  for (const Panel& panel : kPanels) {
    std::vector<std::string> rows;
    const auto add = [&](absl::string_view name, absl::string_view way, absl::string_view colour) {
      const auto value = results.Median(panel.workload, panel.timers, way, "ns");
      rows.push_back(absl::StrCat(rows.size(), "\t", name, "\t", value.value_or(0), "\t",
                                  value ? Format(*value, Unit::kTime) : "not measured", "\t",
                                  colour));
    };
    add("libkevent", "libkevent", "0x0072b2");
    if (results.Median(panel.workload, panel.timers, "libkevent, batches", "ns")) {
      add("libkevent, in batches", "libkevent, batches", "0x56b4e9");
    }
    absl::string_view best = "no event loop";
    std::optional<double> least;
    for (const WayInfo& way : Ways()) {
      if (way.kind != Kind::kLoop) continue;
      const auto value = results.Median(panel.workload, panel.timers, way.name, "ns");
      if (!value || (least && *least <= *value)) continue;
      least = value;
      best = way.name;
    }
    add(absl::StrCat(best, ", the best loop"), best, "0x999999");
    add("timerfd", "timerfd", "0xe69f00");
    add("POSIX timers", "sigwaitinfo", "0xd55e00");
    absl::StrAppend(&out, absl::StrJoin(rows, "\n"), "\n\n\n");
  }
  return out;
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  Check(file.good(), absl::StrCat("cannot write ", path));
}

bool WasRun(absl::string_view workload, const Results& results) {
  return std::any_of(results.cells().begin(), results.cells().end(), [&](const auto& cell) {
    return std::get<0>(cell.first) == workload && !cell.second.repetitions.empty();
  });
}

}  // namespace

std::string DescribeMachine() {
  utsname system;
  Check(uname(&system) == 0, "uname");
  rlimit signals;
  rlimit descriptors;
  Check(getrlimit(RLIMIT_SIGPENDING, &signals) == 0, "getrlimit");
  Check(getrlimit(RLIMIT_NOFILE, &descriptors) == 0, "getrlimit");
  return absl::StrCat("- ", Processor(), ", ", std::thread::hardware_concurrency(), " CPUs; ",
                      system.sysname, " ", system.release, "; glibc ", gnu_get_libc_version(), "; ",
                      kCompiler, " ", __VERSION__, "\n- RLIMIT_SIGPENDING ", signals.rlim_cur,
                      ", RLIMIT_NOFILE ", descriptors.rlim_cur, "\n- libkevent ", kevent_version(),
                      "; ", PeerVersions(), "\n");
}

void WriteGrowth(const std::string& directory, const Results& results, const std::string& table) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  Write(directory + "/growth.json", InJson(results));
  Write(directory + "/growth.md", table);
}

void WriteFiles(const std::string& directory, const Results& results, const std::string& markdown) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  Write(directory + "/results.json", InJson(results));
  Write(directory + "/tables.md", markdown);
  Write(directory + "/summary.tsv", SummaryBlocks(results));
  for (const Workload& workload : Workloads()) {
    const std::string name(workload.name);
    if (!WasRun(name, results)) continue;
    if (workload.sizes.size() > 1 && !workload.waits) {
      Write(absl::StrCat(directory, "/cost-", name, ".tsv"), CostColumns(workload, results));
    }
    if (workload.waits || workload.name == "wake-up") {
      Write(absl::StrCat(directory, "/lateness-", name, ".tsv"),
            LatenessColumns(workload, workload.sizes.front(), results));
    }
  }
}

}  // namespace kevbench
