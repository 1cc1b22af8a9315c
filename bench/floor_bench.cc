// SPDX-License-Identifier: MIT
//
// What does it take to set a timer at least?  The steps that a setting consists
// of, bare, on as many 64-byte records as there are timers, and the engine's
// setting beside them; and the longest that a collection takes among very many
// timers.  docs/performance.md has a run of it and what was concluded.

#include <absl/flags/flag.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/atomic_pair.h"
#include "core/base/timespec.h"
#include "core/calls/descriptor_calls.h"
#include "core/calls/queue_calls.h"
#include "core/calls/timer_calls.h"
#include "tools/support/command_line.h"
#include "tools/support/progress.h"

ABSL_FLAG(bool, longest, false, "measure the longest collections instead");
ABSL_FLAG(uint64_t, timers, 1'000'000, "how many timers --longest makes");
ABSL_FLAG(uint32_t, seconds, 40, "how many seconds --longest takes");

namespace {

using kevent::core::AtomicPair;
using kevent::core::Handle;
using kevent::core::Nanoseconds;
using kevent::core::ToNanoseconds;
using kevent::core::ToTimespec;

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr unsigned kBatch = 256;

Nanoseconds Read(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return ToNanoseconds(now);
}

void Must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "floor_bench: %s\n", what);
  std::exit(EXIT_FAILURE);
}

// Keeps the compiler from leaving out what nobody uses.
void Use(uint64_t value) { asm volatile("" : : "r"(value)); }

class Random {
 public:
  uint64_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t Below(size_t bound) { return (*this)() % bound; }
  Nanoseconds TenToSeventySeconds() { return 10 * kSecond + (*this)() % (60 * kSecond); }

 private:
  uint64_t state_ = 88172645463325252;
};

// As large and as aligned as the engine's slot, on huge pages as that is.
struct alignas(64) Record {
  AtomicPair word;
  uint64_t plain;
};
static_assert(sizeof(Record) == 64);

// What a program with so many timers has in memory, without the engine.
class Records {
 public:
  explicit Records(size_t count) : handles_(count), bytes_(count * sizeof(Record) + 2 * kHuge) {
    void* const pages =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Must(pages != MAP_FAILED, "mmap");
    pages_ = pages;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(pages) + kHuge - 1) & ~(kHuge - 1);
    records_ = reinterpret_cast<Record*>(begin);
    madvise(records_, count * sizeof(Record), MADV_HUGEPAGE);
    for (size_t i = 0; i < count; ++i) {
      handles_[i] = i;
      records_[i].plain = 1;
    }
  }
  ~Records() { munmap(pages_, bytes_); }
  Records(const Records&) = delete;
  Records& operator=(const Records&) = delete;

  // By way of the program's handle of it, and not.
  Record& Of(size_t timer) { return records_[handles_[timer]]; }
  Record& operator[](size_t timer) { return records_[timer]; }
  uint64_t handle(size_t timer) const { return handles_[timer]; }

 private:
  static constexpr uintptr_t kHuge = 2 << 20;
  std::vector<uint64_t> handles_;
  const size_t bytes_;
  void* pages_;
  Record* records_;
};

void Swap(Record& record, uint64_t value) {
  AtomicPair::Halves before = record.word.Guess();
  record.word.Swap(before, {value, value});
}

// One queue with live timers.
class Engine {
 public:
  explicit Engine(size_t count) : queue_(kevent::core::InitQueue(nullptr, 0, 0)), timers_(count) {
    Must(queue_ >= 0, "no queue");
    for (timer_t& timer : timers_) {
      sigevent event;
      kevent_sigevent(&event, queue_, nullptr);
      Must(kevent::core::CreateTimer(CLOCK_MONOTONIC, event, &timer) == 0, "timer_create");
    }
    Random random;
    for (size_t i = 0; i < count; ++i) {
      Set(i, 0, random.TenToSeventySeconds());
      if (i % kBatch == 0) Collect();
    }
  }
  ~Engine() {
    for (const timer_t timer : timers_) kevent::core::DeleteTimer(HandleOf(timer));
    kevent::core::CloseDescriptor(queue_);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void Set(size_t timer, int flags, Nanoseconds value) {
    const itimerspec setting = {{0, 0}, ToTimespec(value)};
    Must(kevent::core::SetTimer(HandleOf(timers_[timer]), flags, &setting, nullptr) == 0,
         "timer_settime");
  }
  int Collect() {
    std::array<ukevent, kBatch> events;
    return kevent::core::GetEvents(queue_, {0, kBatch, events.data(), nullptr, 0, nullptr});
  }
  // Set together with others, before the turn.
  void SetInBatch(size_t timer, Nanoseconds ahead) {
    batch_[in_batch_++] = {timers_[timer], 0, 0, {{0, 0}, ToTimespec(ahead)}};
    if (in_batch_ != kBatch) return;
    in_batch_ = 0;
    Must(kevent::core::SetTimers(kBatch, batch_.data(),
                                 [](timer_t, int, const itimerspec&) { return EINVAL; }) == kBatch,
         "kevent_settime");
    Collect();
  }
  // A turn after every 256 settings, as a program has it.
  void Turn() {
    if (++set_ % kBatch == 0) Collect();
  }

 private:
  static Handle HandleOf(timer_t timer) { return Handle(reinterpret_cast<uint64_t>(timer)); }

  const int queue_;
  std::vector<timer_t> timers_;
  size_t set_ = 0;
  std::array<kevent_setting, kBatch> batch_{};
  unsigned in_batch_ = 0;
};

// Swaps of 256 records, each fetched 16 ahead, after the clock was read once.
class BareBatch {
 public:
  void Add(Records& records, size_t timer) {
    records_[count_++] = &records.Of(timer);
    if (count_ != kBatch) return;
    const Nanoseconds now = Read(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < kAhead; ++i) __builtin_prefetch(records_[i], 1);
    for (unsigned i = 0; i < kBatch; ++i) {
      if (i + kAhead < kBatch) __builtin_prefetch(records_[i + kAhead], 1);
      Swap(*records_[i], now + i);
    }
    count_ = 0;
  }

 private:
  static constexpr unsigned kAhead = 16;
  std::array<Record*, kBatch> records_;
  unsigned count_ = 0;
};

struct Step {
  const char* name;
  std::function<void(size_t times)> run;
  std::vector<double> costs = {};
};

// A step as a loop of its own, with a random timer each time.
template <typename Do>
Step Of(const char* name, size_t count, Do act) {
  return {name, [count, act, random = Random()](size_t times) mutable {
            for (size_t i = 0; i < times; ++i) act(random.Below(count), random);
          }};
}

std::vector<double> Measure(size_t count, std::vector<std::string>* names) {
  Records records(count);
  Engine engine(count);
  const auto now = [] { return Read(CLOCK_MONOTONIC); };
  std::vector<Step> steps;
  steps.push_back(Of("a random number", count, [](size_t i, Random&) { Use(i); }));
  steps.push_back(Of("the clock", count, [&](size_t, Random&) { Use(now()); }));
  steps.push_back(Of("handle", count, [&](size_t i, Random&) { Use(records.handle(i)); }));
  steps.push_back(
      Of("handle, record read", count, [&](size_t i, Random&) { Use(records.Of(i).plain); }));
  steps.push_back(
      Of("handle, record written", count, [&](size_t i, Random&) { records.Of(i).plain = i; }));
  steps.push_back(
      Of("handle, 16 bytes swapped", count, [&](size_t i, Random&) { Swap(records.Of(i), i); }));
  steps.push_back(Of("handle, prefetch, clock, written", count, [&](size_t i, Random&) {
    Record& record = records.Of(i);
    __builtin_prefetch(&record, 1);
    record.plain = now();
  }));
  steps.push_back(Of("handle, prefetch, clock, swapped", count, [&](size_t i, Random&) {
    Record& record = records.Of(i);
    __builtin_prefetch(&record, 1);
    Swap(record, now());
  }));
  steps.push_back(Of("the same without a handle", count, [&](size_t i, Random&) {
    __builtin_prefetch(&records[i], 1);
    Swap(records[i], now());
  }));
  BareBatch bare_batch;
  steps.push_back(Of("256 together: prefetch, one clock, swapped", count,
                     [&](size_t i, Random&) { bare_batch.Add(records, i); }));
  steps.push_back(Of("the engine, relative", count, [&](size_t i, Random& random) {
    engine.Set(i, 0, random.TenToSeventySeconds());
    engine.Turn();
  }));
  steps.push_back(Of("the engine, absolute", count, [&, start = now()](size_t i, Random& random) {
    engine.Set(i, TIMER_ABSTIME, start + 60 * kSecond + random.TenToSeventySeconds());
    engine.Turn();
  }));
  steps.push_back(Of("the engine, relative, 256 together", count, [&](size_t i, Random& random) {
    engine.SetInBatch(i, random.TenToSeventySeconds());
  }));

  constexpr size_t kTimes = 200'000;
  constexpr int kRounds = 9;
  const kevent::tools::Progress progress;
  for (int round = 0; round < kRounds; ++round) {
    progress.Show("%zu timers: round %d of %d", count, round + 1, kRounds);
    for (Step& step : steps) {
      const Nanoseconds before = Read(CLOCK_PROCESS_CPUTIME_ID);
      step.run(kTimes);
      step.costs.push_back(static_cast<double>(Read(CLOCK_PROCESS_CPUTIME_ID) - before) / kTimes);
    }
  }
  std::vector<double> medians;
  names->clear();
  for (Step& step : steps) {
    std::sort(step.costs.begin(), step.costs.end());
    medians.push_back(step.costs[step.costs.size() / 2]);
    names->emplace_back(step.name);
  }
  return medians;
}

void PrintSteps() {
  constexpr std::array<size_t, 3> kCounts = {1, 10'000, 1'000'000};
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;
  columns.reserve(kCounts.size());
  for (const size_t count : kCounts) columns.push_back(Measure(count, &names));
  std::printf("| CPU time, timers: | 1 | 10 000 | 1 000 000 |\n|---|---:|---:|---:|\n");
  for (size_t i = 0; i < names.size(); ++i) {
    std::printf("| %s |", names[i].c_str());
    for (const std::vector<double>& column : columns) std::printf(" %.1f ns |", column[i]);
    std::printf("\n");
  }
}

// Timers that are set again all the time, collected after each 256.
void PrintLongest(size_t count, unsigned seconds) {
  Engine engine(count);
  Random random;
  std::vector<Nanoseconds> costs;
  size_t done = 0;
  const Nanoseconds end = Read(CLOCK_MONOTONIC) + seconds * kSecond;
  const kevent::tools::Progress progress;
  for (Nanoseconds now; (now = Read(CLOCK_MONOTONIC)) < end;) {
    if (costs.size() % 256 == 0) {
      progress.Show("%zu settings, %.0f s left", done, static_cast<double>(end - now) / 1e9);
    }
    for (unsigned i = 0; i < kBatch; ++i) {
      engine.Set(random.Below(count), 0, random.TenToSeventySeconds());
    }
    done += kBatch;
    const Nanoseconds before = Read(CLOCK_THREAD_CPUTIME_ID);
    engine.Collect();
    costs.push_back(Read(CLOCK_THREAD_CPUTIME_ID) - before);
  }
  progress.Show("%s", "");
  std::sort(costs.begin(), costs.end());
  std::printf("%zu timers, %zu settings in %u s; CPU time of a collection: ", count, done, seconds);
  std::printf("p50 %.1f us, p99.9 %.1f us, longest %.2f ms; over 1 ms: %zu of %zu\n",
              static_cast<double>(costs[costs.size() / 2]) / 1e3,
              static_cast<double>(costs[costs.size() - 1 - costs.size() / 1000]) / 1e3,
              static_cast<double>(costs.back()) / 1e6,
              static_cast<size_t>(costs.end() -
                                  std::upper_bound(costs.begin(), costs.end(), kSecond / 1000)),
              costs.size());
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what setting a timer takes at least: the CPU time, in nanoseconds, of each step\n"
      "that it consists of and of the engine's setting, among 1, 10 000 and 1 000 000 timers.\n"
      "With --longest how long a collection takes among timers that are set at random.");
  const uint64_t timers = absl::GetFlag(FLAGS_timers);
  const uint32_t seconds = absl::GetFlag(FLAGS_seconds);
  if (timers == 0 || seconds == 0) {
    kevent::tools::Misused("--timers and --seconds are to be above 0");
  }
  if (absl::GetFlag(FLAGS_longest)) {
    PrintLongest(timers, seconds);
  } else {
    PrintSteps();
  }
  return EXIT_SUCCESS;
}
