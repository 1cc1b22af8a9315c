// SPDX-License-Identifier: MIT
//
// Timers of 1 kHz: all in step, or their phases spread over the millisecond.

#include <absl/strings/str_cat.h>

#include "bench/kevbench/calls.h"
#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

constexpr Nanoseconds kInterval = kMillisecond;

uint64_t ExpirationsUntil(Nanoseconds time, Nanoseconds first) {
  return time < first ? 0 : static_cast<uint64_t>((time - first) / kInterval) + 1;
}

absl::Status CheckCounts(Timers& timers, const std::vector<Nanoseconds>& first) {
  Way& way = timers.way();
  // Those that count what they could not report must come to the exact number, the
  // others to one at least.
  const Nanoseconds until = Now();
  const Nanoseconds give_up = until + 10 * kSecond;
  for (size_t i = 0; i < first.size(); ++i) {
    const uint64_t least =
        way.periods() == Periods::kCounted ? ExpirationsUntil(until, first[i]) : 1;
    while (timers.recorder().count(i) < least) {
      way.Collect();
      if (Now() < give_up) continue;
      return absl::InternalError(absl::StrCat("timer ", i, " expired ", timers.recorder().count(i),
                                              " times, not ", least));
    }
  }
  for (size_t i = 0; i < first.size(); ++i) {
    // In this order: threads go on counting.
    const uint64_t times = timers.recorder().count(i);
    // A loop in whole milliseconds is early by one at most.
    const uint64_t most = ExpirationsUntil(Now(), first[i]) + (way.periods() == Periods::kLost);
    if (times <= most) continue;
    return absl::InternalError(
        absl::StrCat("timer ", i, " expired ", times, " times, and could have ", most, " times"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Metrics> Repeat(const WayInfo& info, size_t count, Nanoseconds phase,
                               Nanoseconds span, bool calls) {
  auto timers = Timers::Make(info, count);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Recorder& recorder = (*timers)->recorder();
  if (way.periods() != Periods::kLost) recorder.Sample(16, 1 << 18);
  recorder.Every(kInterval);

  const std::unique_ptr<CallCounter> counter = calls ? std::make_unique<CallCounter>() : nullptr;
  const Nanoseconds begin = Now() + 20 * kMillisecond;
  std::vector<Nanoseconds> first(count);
  way.EndAt(begin + span);
  way.TakeTime();
  for (size_t i = 0; i < count; ++i) {
    first[i] = begin + static_cast<Nanoseconds>(i) * phase;
    if (way.periods() != Periods::kLost) recorder.DueAt(i, first[i]);
    way.ArmEvery(i, first[i], kInterval);
  }

  Metrics metrics;
  if (counter != nullptr) counter->Restart();
  const Nanoseconds before = CpuTime();
  // Until something has expired at least: the machine may have been busy elsewhere.
  while (Now() < begin + span || recorder.total() == 0) way.Wait();
  const auto expired = static_cast<double>(recorder.total());
  metrics["ns"] = static_cast<double>(CpuTime() - before) / expired;
  uint64_t expected = 0;
  for (const Nanoseconds one : first) expected += ExpirationsUntil(Now(), one);
  metrics["share"] = expired / static_cast<double>(expected) * 100;
  if (counter != nullptr) {
    if (const auto sum = counter->Count()) metrics["calls"] = static_cast<double>(*sum) / expired;
  }
  AddPercentiles(recorder.lateness(), &metrics);
  if (absl::Status right = CheckCounts(**timers, first); !right.ok()) return right;
  for (size_t i = 0; i < count; ++i) way.Disarm(i);
  return metrics;
}

absl::StatusOr<Metrics> Run(const WayInfo& info, size_t count, Pace pace, Nanoseconds phase,
                            Nanoseconds full) {
  const Nanoseconds span = pace == Pace::kSmoke   ? 20 * kMillisecond
                           : pace == Pace::kQuick ? full / 2
                                                  : full;
  auto metrics = Repeat(info, count, phase, span, false);
  if (!metrics.ok()) return metrics;
  auto counted = Repeat(info, count, phase, span / 8, true);
  if (!counted.ok()) return counted;
  if (const auto calls = counted->find("calls"); calls != counted->end()) metrics->insert(*calls);
  return metrics;
}

}  // namespace

absl::StatusOr<Metrics> RunPeriodicInStep(const WayInfo& info, size_t count, Pace pace) {
  return Run(info, count, pace, 0, 2 * kSecond);
}

absl::StatusOr<Metrics> RunPeriodicSpread(const WayInfo& info, size_t count, Pace pace) {
  return Run(info, count, pace, kInterval / static_cast<Nanoseconds>(count), kSecond);
}

}  // namespace kevbench
