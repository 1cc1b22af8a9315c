// SPDX-License-Identifier: MIT

#include "bench/kevbench/workload.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

namespace kevbench {

const std::vector<Workload>& Workloads() {
  static const std::vector<Workload>* const kWorkloads = new std::vector<Workload>{
      {.name = "re-arm",
       .title = "a random one of N live timers is set again: CPU time of each setting",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {1, 100, 10'000, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .waits = false,
       .batches = true,
       .repetitions = 5,
       .heavy_repetitions = 3,
       .quick_repetitions = 3,
       .run = RunRearm},
      {.name = "arm-cancel",
       .title = "set and disarmed beside N live timers: CPU time of each pair",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {1, 100, 10'000, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .waits = false,
       .batches = true,
       .repetitions = 5,
       .heavy_repetitions = 3,
       .quick_repetitions = 3,
       .run = RunArmAndCancel},
      {.name = "burst",
       .title = "armed when due already, 256 of N at a time, and collected: CPU time of each timer",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {256, 10'000},
       .smoke_sizes = {256, 600},
       .waits = false,
       .batches = true,
       .repetitions = 5,
       .heavy_repetitions = 3,
       .quick_repetitions = 3,
       .run = RunBurst},
      {.name = "expire",
       .title = "deadlines over one second: of each expiry, CPU time, lateness and system calls",
       .shown = {{"ns", "CPU", Unit::kTime},
                 {"p50", "p50", Unit::kTime},
                 {"p99", "p99", Unit::kTime},
                 {"calls", "calls", Unit::kCount}},
       .sizes = {10'000, 90'000},
       .smoke_sizes = {16, 200},
       .waits = true,
       .batches = false,
       .repetitions = 2,
       .heavy_repetitions = 1,
       .quick_repetitions = 1,
       .run = RunExpire},
      {.name = "periodic",
       .title = "1 kHz, in step: of each expiry, CPU time, lateness and system calls",
       .shown = {{"ns", "CPU", Unit::kTime},
                 {"p50", "p50", Unit::kTime},
                 {"p99", "p99", Unit::kTime},
                 {"calls", "calls", Unit::kCount},
                 {"share", "reported", Unit::kPercent}},
       .sizes = {1'000},
       .smoke_sizes = {20},
       .waits = true,
       .batches = false,
       .repetitions = 1,
       .heavy_repetitions = 1,
       .quick_repetitions = 1,
       .run = RunPeriodicInStep},
      {.name = "periodic-spread",
       .title = "1 kHz, phases spread: of each expiry, CPU time, lateness and system calls",
       .shown = {{"ns", "CPU", Unit::kTime},
                 {"p50", "p50", Unit::kTime},
                 {"p99", "p99", Unit::kTime},
                 {"calls", "calls", Unit::kCount},
                 {"share", "reported", Unit::kPercent}},
       .sizes = {1'000},
       .smoke_sizes = {20},
       .waits = true,
       .batches = false,
       .repetitions = 1,
       .heavy_repetitions = 1,
       .quick_repetitions = 1,
       .run = RunPeriodicSpread},
      {.name = "wake-up",
       .title = "one timer 200 µs ahead, nothing else to do: lateness, medians of rounds",
       .shown = {{"p50", "p50", Unit::kTime},
                 {"p99", "p99", Unit::kTime},
                 {"p99.9", "p99.9", Unit::kTime}},
       .sizes = {1},
       .smoke_sizes = {1},
       .waits = false,
       .batches = false,
       .repetitions = 20,
       .heavy_repetitions = 20,
       .quick_repetitions = 10,
       .run = RunWakeUp},
      {.name = "create-delete",
       .title = "N timers created, then deleted: CPU time of each, and where their memory is new",
       .shown = {{"ns", "", Unit::kTime}, {"first", "new", Unit::kTime}},
       .sizes = {1, 10'000, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .waits = false,
       .batches = false,
       .repetitions = 5,
       .heavy_repetitions = 3,
       .quick_repetitions = 3,
       .run = RunCreateAndDelete},
      {.name = "memory",
       .title = "resident bytes of a live timer, in the process",
       .shown = {{"bytes", "", Unit::kBytes}},
       .sizes = {1'000'000},
       .smoke_sizes = {1'000},
       .waits = false,
       .batches = false,
       .repetitions = 1,
       .heavy_repetitions = 1,
       .quick_repetitions = 1,
       .run = RunMemory},
      {.name = "threads",
       .title =
           "re-arm with 5 000 timers: CPU time of each setting, all threads; settings a second",
       .shown = {{"alone", "one thread", Unit::kTime},
                 {"arm and collect", "one arms, one collects", Unit::kTime},
                 {"one queue", "two on one queue", Unit::kTime},
                 {"two queues", "two queues", Unit::kTime},
                 {"alone, rate", "one thread", Unit::kRate},
                 {"one queue, rate", "two on one queue", Unit::kRate},
                 {"two queues, rate", "two queues", Unit::kRate}},
       .sizes = {5'000},
       .smoke_sizes = {100},
       .waits = false,
       .batches = false,
       .repetitions = 5,
       .heavy_repetitions = 5,
       .quick_repetitions = 3,
       .run = RunThreads},
      {.name = "start",
       .title = "/bin/true with an object preloaded, spawn to wait",
       .shown = {{"preloaded", "libkevent", Unit::kTime},
                 {"empty", "empty object", Unit::kTime},
                 {"more", "difference", Unit::kTime}},
       .sizes = {1},
       .smoke_sizes = {1},
       .waits = false,
       .batches = false,
       .repetitions = 3,
       .heavy_repetitions = 3,
       .quick_repetitions = 1,
       .run = RunStart},
  };
  return *kWorkloads;
}

Timers::Timers(const WayInfo& info, size_t timers)
    : size_(timers), recorder_(timers), way_(info.make(&recorder_)) {}

absl::StatusOr<std::unique_ptr<Timers>> Timers::Make(const WayInfo& info, size_t timers) {
  std::unique_ptr<Timers> made(new Timers(info, timers));
  if (absl::Status room = made->way().Reserve(timers); !room.ok()) return room;
  for (; made->created_ < timers; ++made->created_) made->way().Create(made->created_);
  return made;
}

Timers::~Timers() {
  for (size_t i = 0; i < created_; ++i) way_->Delete(i);
  if (created_ > 0) way_->Deleted();
}

void Timers::ArmAll(Random& random) {
  armed_ = Now();
  way_->TakeTime();
  for (size_t i = 0; i < size_; ++i) way_->ArmIn(i, random.TenToSeventySeconds());
  way_->Collect();
}

bool Timers::WaitFor(uint64_t total) {
  Nanoseconds give_up = Now() + 10 * kSecond;
  uint64_t before = recorder_.total();
  while (recorder_.total() < total) {
    way_->Wait();
    if (recorder_.total() != before) {
      before = recorder_.total();
      give_up = Now() + 10 * kSecond;
    } else if (Now() > give_up) {
      return false;
    }
  }
  return true;
}

absl::Status Timers::EachExpired(uint64_t times) const {
  for (size_t i = 0; i < size_; ++i) {
    if (recorder_.count(i) == times) continue;
    return absl::InternalError(
        absl::StrCat("timer ", i, " expired ", recorder_.count(i), " times, not ", times));
  }
  return absl::OkStatus();
}

absl::Status Timers::NoneExpired() const {
  if (MayHaveExpired(armed_)) return absl::ResourceExhaustedError(kTookTooLong);
  return EachExpired(0);
}

Nanoseconds Slice(Pace pace) {
  switch (pace) {
    case Pace::kSmoke:
      return 2 * kMillisecond;
    case Pace::kQuick:
      return 30 * kMillisecond;
    case Pace::kFull:
      break;
  }
  return 60 * kMillisecond;
}

void AddPercentiles(std::vector<Nanoseconds> samples, Metrics* metrics) {
  if (samples.empty()) return;
  std::sort(samples.begin(), samples.end());
  for (const double percent : kPercentiles) {
    const auto index = static_cast<size_t>(percent / 100 * static_cast<double>(samples.size()));
    (*metrics)[absl::StrCat("p", percent)] =
        static_cast<double>(samples[std::min(index, samples.size() - 1)]);
  }
}

}  // namespace kevbench
