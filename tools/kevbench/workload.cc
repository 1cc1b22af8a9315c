// SPDX-License-Identifier: MIT

#include "tools/kevbench/workload.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <iterator>

namespace kevbench {

const std::vector<Workload>& Workloads() {
  static const std::vector<Workload>* const kWorkloads = new std::vector<Workload>{
      {.name = "re-arm",
       .title = "a random one of N live timers is set again: CPU time of each setting",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {1, 100, 10'000, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .full_repetitions = 5,
       .quick_repetitions = 3,
       .run = RunRearm},
      {.name = "arm-cancel",
       .title = "set and disarmed beside N live timers: CPU time of each pair",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {1, 100, 10'000, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .full_repetitions = 5,
       .quick_repetitions = 3,
       .run = RunArmAndCancel},
      {.name = "burst",
       .title = "armed when due already, 256 of N at a time, and collected: CPU time of each timer",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {256, 10'000},
       .smoke_sizes = {256, 600},
       .full_repetitions = 5,
       .quick_repetitions = 3,
       .run = RunBurst},
      {.name = "create-delete",
       .title = "N timers created, then deleted: CPU time of each",
       .shown = {{"ns", "", Unit::kTime}},
       .sizes = {1, 90'000, 1'000'000},
       .smoke_sizes = {1, 300},
       .full_repetitions = 5,
       .quick_repetitions = 3,
       .run = RunCreateAndDelete},
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

void AddPercentiles(std::vector<Nanoseconds> samples, absl::string_view prefix, Metrics* metrics) {
  if (samples.empty()) return;
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    const auto index = static_cast<size_t>(share * static_cast<double>(samples.size()));
    return static_cast<double>(samples[std::min(index, samples.size() - 1)]);
  };
  (*metrics)[absl::StrCat(prefix, "p50")] = at(0.5);
  (*metrics)[absl::StrCat(prefix, "p99")] = at(0.99);
  (*metrics)[absl::StrCat(prefix, "p99.9")] = at(0.999);
}

}  // namespace kevbench
