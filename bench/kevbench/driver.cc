// SPDX-License-Identifier: MIT

#include "bench/kevbench/driver.h"

#include <absl/strings/str_cat.h>
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kevbench {
namespace {

// The table is made from the results; meanwhile nothing is printed but progress.
class Silent final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& /*runs*/) override {}
};

class Progress {
 public:
  Progress(absl::string_view workload, size_t all) : workload_(workload), all_(all) {}
  ~Progress() {
    if (terminal_) std::fprintf(stderr, "\r%60s\r", "");
    std::fprintf(stderr, "%s: %zu runs, %.1f s\n", std::string(workload_).c_str(), done_,
                 static_cast<double>(Now() - begin_) / kSecond);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Next(absl::string_view way, size_t timers) {
    ++done_;
    if (!terminal_) return;
    const std::string line =
        absl::StrCat(workload_, " ", done_, "/", all_, ": ", way, ", ", timers, " timers");
    std::fprintf(stderr, "\r%-60s", line.c_str());
  }

 private:
  const absl::string_view workload_;
  const size_t all_;
  size_t done_ = 0;
  const Nanoseconds begin_ = Now();
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
};

struct Run {
  const Workload& workload;
  const WayInfo& way;
  size_t timers;
  Pace pace;
  Cell* cell;
  Progress* progress;
  bool* failed;
};

// For a signal handler, which may not make it.
std::array<char, 200> g_hangs;

void Hangs(int /*signal*/) {
  if (write(STDERR_FILENO, g_hangs.data(), std::strlen(g_hangs.data())) > 0) _exit(EXIT_FAILURE);
  _exit(2);
}

void Watch(const Run& run) {
  std::snprintf(g_hangs.data(), g_hangs.size(), "\nkevbench: %s, %s, %zu timers: FAILED: hangs\n",
                std::string(run.workload.name).c_str(), std::string(run.way.name).c_str(),
                run.timers);
  alarm(100);
}

// One repetition.  It measures its own slice of work, so that making a million
// timers counts neither as time nor as iterations.
void RunOnce(benchmark::State& state, const Run& run) {
  run.progress->Next(run.way.name, run.timers);
  // A run that hangs has lost an expiry.
  Watch(run);
  while (state.KeepRunning()) {
    const absl::StatusOr<Metrics> metrics = run.workload.run(run.way, run.timers, run.pace);
    if (metrics.ok()) {
      const auto cost = metrics->find("ns");
      state.SetIterationTime(cost == metrics->end() ? 0 : cost->second * 1e-9);
      for (const auto& [name, value] : *metrics) state.counters[name] = value;
      run.cell->repetitions.push_back(*metrics);
      continue;
    }
    run.cell->note = std::string(metrics.status().message());
    state.SkipWithError(run.cell->note.c_str());
    if (absl::IsUnimplemented(metrics.status()) || absl::IsResourceExhausted(metrics.status())) {
      continue;
    }
    *run.failed = true;
    std::fprintf(stderr, "\nkevbench: %s, %s, %zu timers: FAILED: %s\n",
                 std::string(run.workload.name).c_str(), std::string(run.way.name).c_str(),
                 run.timers, run.cell->note.c_str());
  }
}

void Register(const std::string& name, const Run& run, int repetitions) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run](benchmark::State& state) { RunOnce(state, run); })
      ->Iterations(1)
      ->UseManualTime()
      ->Repetitions(repetitions);
}

int Repetitions(const Workload& workload, const WayInfo& way, size_t timers, Pace pace) {
  if (way.kind == Kind::kLibkeventSeldom && !workload.waits) return 0;
  if (way.kind == Kind::kLibkeventBatches && !workload.batches) return 0;
  if (pace == Pace::kSmoke) return 1;
  if (timers > kHeavy) return pace == Pace::kQuick ? 1 : workload.heavy_repetitions;
  return pace == Pace::kQuick ? workload.quick_repetitions : workload.repetitions;
}

}  // namespace

void StartDriver() {
  std::array<std::string, 2> options = {"kevbench", "--benchmark_enable_random_interleaving=true"};
  std::array<char*, 3> arguments = {options[0].data(), options[1].data(), nullptr};
  int count = static_cast<int>(options.size());
  benchmark::Initialize(&count, arguments.data());
  signal(SIGALRM, Hangs);
}

bool RunWorkload(const Workload& workload, Pace pace, Results* results) {
  bool failed = false;
  const std::vector<size_t>& sizes = pace == Pace::kSmoke ? workload.smoke_sizes : workload.sizes;
  size_t runs = 0;
  for (const size_t timers : sizes) {
    for (const WayInfo& way : Ways()) {
      runs +=
          way.make == nullptr ? 0 : static_cast<size_t>(Repetitions(workload, way, timers, pace));
    }
  }
  Progress progress(workload.name, runs);
  for (const size_t timers : sizes) {
    for (const WayInfo& way : Ways()) {
      Cell* const cell = &(*results)[{std::string(workload.name), timers, std::string(way.name)}];
      if (way.make == nullptr) {
        cell->note = absl::StrCat("missing (", way.package, ")");
        continue;
      }
      // To make so many takes seconds.
      if (timers > kHeavy && !workload.waits && !way.arms_as.empty()) {
        cell->note = absl::StrCat("as ", way.arms_as);
        continue;
      }
      const int repetitions = Repetitions(workload, way, timers, pace);
      if (repetitions == 0) continue;
      const Run run = {workload, way, timers, pace, cell, &progress, &failed};
      const std::string name = absl::StrCat(workload.name, "/", timers, "/", way.name);
      Register(name, run, repetitions);
    }
  }
  Silent silent;
  benchmark::RunSpecifiedBenchmarks(&silent);
  alarm(0);
  benchmark::ClearRegisteredBenchmarks();
  return !failed;
}

}  // namespace kevbench
