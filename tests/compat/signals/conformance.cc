// SPDX-License-Identifier: MIT
//
// Runs every scenario on every clock, once with completions delivered by signal
// and once into a queue, and prints what a program observes of both, side by
// side.  Exits with 1 when there is a difference that is not known.

#include <absl/flags/flag.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/compat/signals/delivery.h"
#include "tests/compat/signals/scenario.h"
#include "tests/compat/signals/table.h"
#include "tests/compat/signals/test_clock.h"
#include "tools/support/command_line.h"

ABSL_FLAG(std::string, filter, "", "only scenarios or clocks whose name contains this (all)");
ABSL_FLAG(bool, batches, false, "set the timers of the queue by kevent_settime");
ABSL_FLAG(bool, list, false, "only print the names of the scenarios");

namespace conformance {
namespace {

enum class Verdict { kSame, kKnown, kDifferent };

// What one scenario showed, and the clocks on which it showed this.
struct Row {
  std::string clocks;
  int clock_count;
  std::string signal;
  std::string queue;
};

std::string RunOnce(const Scenario& scenario, Delivery& delivery, TestClock& clock) {
  clock.Start();
  std::string record;
  {
    Stage stage(delivery, clock);
    scenario.run(stage);
    record = stage.record();
  }
  clock.Stop();
  // Of deleted timers nothing is collected; what is left would be the next
  // scenario's.  A kernel before 6.13 leaves stale signals.
  Completion leftover;
  while (delivery.Collect(0, &leftover) == 1) {
  }
  return record;
}

Verdict Judge(const Scenario& scenario, const Row& row) {
  if (row.signal == row.queue) return Verdict::kSame;
  const KnownDifference* known = scenario.known;
  if (known == nullptr || row.queue != known->queue ||
      (known->signal != nullptr && row.signal != known->signal) ||
      (known->applies != nullptr && !known->applies())) {
    return Verdict::kDifferent;
  }
  return Verdict::kKnown;
}

class Runner {
 public:
  explicit Runner(std::string filter) : filter_(std::move(filter)) {}

  int Run() {
    PrintHeading();
    for (const auto& clock : clocks_) available_ += Available(*clock);
    for (const Scenario& scenario : EveryScenario()) RunScenario(scenario);
    table_.PrintRule();
    for (size_t i = 0; i < notes_.size(); ++i) {
      std::printf("[%zu] %s\n", i + 1, notes_[i].c_str());
    }
    std::printf("%d comparisons: %d the same, %d known differences, %d DIFFERENT\n",
                same_ + known_ + different_, same_, known_, different_);
    if (same_ + known_ + different_ == 0) return 2;
    return different_ == 0 ? 0 : 1;
  }

  static std::vector<Scenario> EveryScenario() {
    std::vector<Scenario> all;
    for (const auto& part :
         {CreationScenarios(), OneShotScenarios(), PeriodicScenarios(), ChangeScenarios(),
          OldValueScenarios(), InputScenarios(), CollectingScenarios()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

 private:
  void PrintHeading() const {
    utsname system;
    uname(&system);
    std::printf("%s %s %s\n\n", system.sysname, system.release, system.machine);
    table_.PrintRow({"scenario", "clocks", "signal", "queue", "same"});
    table_.PrintRule();
  }

  bool Wanted(const Scenario& scenario, const TestClock& clock) const {
    return std::strstr(scenario.name, filter_.c_str()) != nullptr ||
           std::strstr(clock.name(), filter_.c_str()) != nullptr;
  }

  // Whether a timer on this clock can be made: "new timer" reports the errors.
  bool Available(TestClock& clock) const {
    clock.Start();
    sigevent request = signals_.Request(0);
    timer_t timer;
    const bool available = timer_create(clock.id(), &request, &timer) == 0;
    if (available) timer_delete(timer);
    clock.Stop();
    return available;
  }

  void RunScenario(const Scenario& scenario) {
    std::vector<Row> rows;
    for (const std::unique_ptr<TestClock>& clock : clocks_) {
      if (!Wanted(scenario, *clock)) continue;
      if (scenario.clocks == Clocks::kOne && clock->id() != CLOCK_MONOTONIC) continue;
      if (scenario.run != CreationScenarios()[0].run && !Available(*clock)) continue;
      const std::string signal = RunOnce(scenario, signals_, *clock);
      const std::string queue = RunOnce(scenario, queue_, *clock);
      bool merged = false;
      for (Row& row : rows) {
        if (row.signal != signal || row.queue != queue) continue;
        row.clocks += std::string(" ") + clock->name();
        ++row.clock_count;
        merged = true;
      }
      if (!merged) rows.push_back({clock->name(), 1, signal, queue});
      Count(Judge(scenario, {"", 1, signal, queue}));
    }
    for (const Row& row : rows) Print(scenario, row);
    std::fflush(stdout);
  }

  void Count(Verdict verdict) {
    same_ += verdict == Verdict::kSame;
    known_ += verdict == Verdict::kKnown;
    different_ += verdict == Verdict::kDifferent;
  }

  void Print(const Scenario& scenario, const Row& row) {
    std::string verdict;
    switch (Judge(scenario, row)) {
      case Verdict::kSame:
        verdict = "yes";
        break;
      case Verdict::kKnown:
        verdict = Note(scenario.known->reason);
        break;
      case Verdict::kDifferent:
        verdict = "NO";
        break;
    }
    const std::string clocks = row.clock_count == available_ ? "every one to be had" : row.clocks;
    table_.PrintRow({scenario.name, clocks, row.signal, row.queue, verdict});
  }

  std::string Note(const std::string& reason) {
    size_t number = 0;
    while (number < notes_.size() && notes_[number] != reason) ++number;
    if (number == notes_.size()) notes_.push_back(reason);
    return "[" + std::to_string(number + 1) + "]";
  }

  const std::string filter_;
  SignalDelivery signals_;  // first: it blocks the signal for threads to come
  QueueDelivery queue_{absl::GetFlag(FLAGS_batches)};
  const std::vector<std::unique_ptr<TestClock>> clocks_ = EveryClock();
  const Table table_{{32, 19, 38, 38, 4}};
  std::vector<std::string> notes_;
  int available_ = 0;  // clocks
  int same_ = 0;
  int known_ = 0;
  int different_ = 0;
};

}  // namespace
}  // namespace conformance

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Compares POSIX timers that complete by signal with ones that complete into a queue, in a\n"
      "table.  The last column says whether both records are the same: yes, NO, or the number of\n"
      "the note that explains a known difference.  Exits with 0 if there is no NO, with 1 if\n"
      "there is one, with 2 if the comparison could not be made.");
  if (absl::GetFlag(FLAGS_list)) {
    for (const auto& scenario : conformance::Runner::EveryScenario()) std::puts(scenario.name);
    return 0;
  }
  return conformance::Runner(absl::GetFlag(FLAGS_filter)).Run();
}
