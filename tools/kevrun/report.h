// SPDX-License-Identifier: MIT
//
// kevrun --report: what the timers, operations and queues of processes have done.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/report/table.h"
#include "tools/kevrun/folder.h"
#include "tools/kevrun/observed_file.h"

namespace kevent::kevrun {

// All timers of one place of the program.
struct TimersOfPlace {
  const report::Site* site = nullptr;
  std::string name;                          // of it: PlaceName
  std::vector<const report::Timer*> timers;  // that have rows, in the order of their creation
  std::unique_ptr<report::Sums> sums;        // of these and of all others
  std::optional<uint64_t> expirations;       // in these sums, if they are known
};

// The counts of one process, read at one moment.
class Report {
 public:
  // Nothing if it is no file of libkevent-report.so of this version; *why says so.
  // *why is empty if there is nothing in the file yet.
  // `is_last`: no later program of the same process has a file.
  static std::optional<Report> Read(const Observed& file, bool is_last, const Ended& ended,
                                    std::string* why);

  const report::Table& table() const { return *table_; }
  const std::vector<TimersOfPlace>& places() const { return places_; }
  pid_t pid() const { return static_cast<pid_t>(table_->file.pid); }
  bool runs() const { return end_.runs; }

  // ns on CLOCK_MONOTONIC at which the counts end: now, or with the process; 0: that is not known.
  uint64_t end() const { return end_.time; }

  uint64_t Settings(const report::Timer& timer) const;
  uint64_t Replaced(const report::Timer& timer) const;
  // With those of a setting that was not yet over: computed from its clock.  Nothing if that is a
  // clock of CPU time, or the end is not known.
  std::optional<uint64_t> Expirations(const report::Timer& timer) const;
  // Whether expirations are counted rather than computed.
  static bool AreCounted(const report::Site& site);

 private:
  Report() = default;
  void Collect();

  std::unique_ptr<report::Table, Unmap> table_;
  std::vector<TimersOfPlace> places_;
  End end_;
};

// What is said of processes, which are added one after the other: of no more than one the table is
// in memory.
class Rendering {
 public:
  Rendering() = default;
  virtual ~Rendering() = default;
  Rendering(const Rendering&) = delete;
  Rendering& operator=(const Rendering&) = delete;
  virtual void Add(const Report& report) = 0;
  virtual std::string Text() const = 0;
};

// For people, and for programs: one JSON object for each process, in an array.  `without` are the
// processes that had no room for a table.
std::unique_ptr<Rendering> RenderTables(const std::vector<pid_t>& without);
std::unique_ptr<Rendering> RenderJson(const std::vector<pid_t>& without);

// Adds the reports of these files; how many there were.  What cannot be read is told to the
// standard error.
size_t AddReports(const std::vector<Observed>& files, const Ended& ended, Rendering* rendering);

// What both say.
std::string ClockName(int clock);
std::string NotifyName(const report::Site& site);
std::string PlaceName(const observe::Place& place);  // "function+0x12 (object)"
// The upper bound of the cell of a histogram that has the middle one of what it counts.
template <size_t kCells>
uint64_t MedianOf(const report::Histogram<kCells>& histogram) {
  uint64_t all = 0;
  for (const report::Count& cell : histogram.cells) all += cell;
  uint64_t below = 0;
  for (size_t i = 0; i < kCells; ++i) {
    below += histogram.cells[i];
    if (below * 2 >= all) return (uint64_t{1} << i) - 1;
  }
  return 0;
}

}  // namespace kevent::kevrun
