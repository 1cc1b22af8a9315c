// SPDX-License-Identifier: MIT
//
// What is measured.  Each workload is a function that makes its timers, measures
// them once, checks its counts and deletes them; it may be run any number of times.

#ifndef KEVENT_BENCH_KEVBENCH_WORKLOAD_H_
#define KEVENT_BENCH_KEVBENCH_WORKLOAD_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/kevbench/ways.h"

namespace kevbench {

// How long and how often: the whole, --quick, or --smoke, where only counts matter.
enum class Pace { kSmoke, kQuick, kFull };

// The percentiles that AddPercentiles adds.
inline constexpr std::array<double, 11> kPercentiles = {1,  5,  10, 25,   50,  75,
                                                        90, 95, 99, 99.5, 99.9};

// By name: "ns" is the cost, in nanoseconds.
using Metrics = std::map<std::string, double>;

// One of the numbers that a workload comes to.
enum class Unit { kTime, kBytes, kCount, kPercent, kRate };
struct Shown {
  absl::string_view metric;
  absl::string_view heading;
  Unit unit;
};

struct Workload {
  absl::string_view name;
  absl::string_view title;
  std::vector<Shown> shown;
  std::vector<size_t> sizes;
  std::vector<size_t> smoke_sizes;
  // Whether sleeping for timers is part of it.
  bool waits;
  // True if 256 settings come between two collections.
  bool batches;
  // Of up to 20 000 timers; of more, which take seconds to make; and with --quick.
  int repetitions;
  int heavy_repetitions;
  int quick_repetitions;
  // Unimplemented: the way cannot do it; ResourceExhausted: not that many.
  // Anything else that is not OK is a failure of the run.
  absl::StatusOr<Metrics> (*run)(const WayInfo& way, size_t timers, Pace pace);
};

const std::vector<Workload>& Workloads();

// ---- What workloads share ----------------------------------------------------

// Cheap beside anything that is measured.
class Random {
 public:
  uint64_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t Below(size_t bound) {
    return static_cast<size_t>(((*this)() >> 32) * uint64_t{bound} >> 32);
  }
  Nanoseconds Between(Nanoseconds low, Nanoseconds high) {
    return low + static_cast<Nanoseconds>((*this)() % static_cast<uint64_t>(high - low));
  }
  Nanoseconds TenToSeventySeconds() { return Between(10 * kSecond, 70 * kSecond); }

 private:
  uint64_t state_ = 88172645463325252;
};

// A way with timers 0 to n-1 created.
class Timers {
 public:
  static absl::StatusOr<std::unique_ptr<Timers>> Make(const WayInfo& info, size_t timers);
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  Way& way() { return *way_; }
  Recorder& recorder() { return recorder_; }
  size_t size() const { return size_; }

  // Arms all, 10 to 70 s ahead.
  void ArmAll(Random& random);
  // Collects for so many expirations in all; false when none comes for ten seconds.
  bool WaitFor(uint64_t total);
  // "timer 3 expired 2 times, not 1" unless each has so often.
  absl::Status EachExpired(uint64_t times) const;
  // After ArmAll: that none has expired, or that so much time has passed that one may have, in
  // which case nothing was measured.
  absl::Status NoneExpired() const;

 private:
  Timers(const WayInfo& info, size_t timers);

  const size_t size_;
  Recorder recorder_;
  const std::unique_ptr<Way> way_;
  size_t created_ = 0;
  Nanoseconds armed_ = 0;
};

// Timers that were armed from `armed` on, 10 to 70 s ahead, may expire by now.
inline bool MayHaveExpired(Nanoseconds armed) { return Now() >= armed + 10 * kSecond; }
inline constexpr absl::string_view kTookTooLong = "took over 10 s";

// CPU time of the process, all threads, user and system.
inline Nanoseconds CpuTime() { return ReadClock(CLOCK_PROCESS_CPUTIME_ID); }

// How long a slice of work is measured.
Nanoseconds Slice(Pace pace);

// Adds "p50", "p99", "p99.9" and others of the samples.
void AddPercentiles(std::vector<Nanoseconds> samples, Metrics* metrics);

// ---- The workloads, one file each --------------------------------------------

absl::StatusOr<Metrics> RunRearm(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunArmAndCancel(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunBurst(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunExpire(const WayInfo& way, size_t timers, Pace pace);
// A deadline each microsecond, however many there are.
absl::StatusOr<Metrics> RunExpireDensely(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunPeriodicInStep(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunPeriodicSpread(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunWakeUp(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunCreateAndDelete(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunMemory(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunThreads(const WayInfo& way, size_t timers, Pace pace);
absl::StatusOr<Metrics> RunStart(const WayInfo& way, size_t timers, Pace pace);

// Runs this program with an option and its value, the way's name, and as many
// timers; the line that it prints.
absl::StatusOr<std::string> LineOfOwnProcess(absl::string_view option, const WayInfo& info,
                                             size_t timers, Pace pace);

// In the process that RunCreateAndDelete starts; as PrintMemory.
bool PrintCreation(absl::string_view way, size_t timers, Pace pace);

// In the process that RunMemory starts: prints the bytes, or which limit is in the
// way.  False if there is no such way.
bool PrintMemory(absl::string_view way, size_t timers);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_WORKLOAD_H_
