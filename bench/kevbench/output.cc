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

#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

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

void Write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  Check(file.good(), absl::StrCat("cannot write ", path));
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

void WriteFiles(const std::string& directory, const Results& results, const std::string& markdown) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  Write(directory + "/results.json", InJson(results));
  Write(directory + "/tables.md", markdown);
  for (const Workload& workload : Workloads()) {
    const std::string name(workload.name);
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
