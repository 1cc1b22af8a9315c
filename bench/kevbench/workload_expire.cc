// SPDX-License-Identifier: MIT
//
// N timers with deadlines anywhere in one second, collected as they come.  Every
// eighth is disarmed before that and must not expire.  Arming is not measured.

#include <absl/strings/str_cat.h>

#include "bench/kevbench/calls.h"
#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

bool Disarmed(size_t timer) { return timer % 8 == 0; }

// Arms them all, with deadlines from `begin` on over `span`.
void Arm(Timers& timers, Nanoseconds begin, Nanoseconds span) {
  Way& way = timers.way();
  Random random;
  way.TakeTime();
  for (size_t i = 0; i < timers.size(); ++i) {
    const Nanoseconds due = begin + random.Between(0, span);
    timers.recorder().DueAt(i, due);
    way.ArmAt(i, due);
  }
  for (size_t i = 0; i < timers.size(); ++i) {
    if (Disarmed(i)) way.Disarm(i);
  }
  way.Collect();
}

// Timers none of which is due before all are armed.
absl::StatusOr<std::unique_ptr<Timers>> ArmInTime(const WayInfo& info, size_t count,
                                                  Nanoseconds span, Nanoseconds each) {
  Nanoseconds lead = 50 * kMillisecond + static_cast<Nanoseconds>(count) * each;
  for (;; lead *= 2) {
    auto timers = Timers::Make(info, count);
    if (!timers.ok()) return timers;
    Recorder& recorder = (*timers)->recorder();
    recorder.Sample(count > 1000 ? 8 : 1, count);
    const Nanoseconds begin = Now() + lead;
    Arm(**timers, begin, span);
    const bool expired = recorder.total() != 0;
    if (Now() < begin) {
      if (expired) return absl::InternalError("a timer expired early");
      return timers;
    }
    // The machine was busy with something else: more time, then.
  }
}

// Deadlines of `count` timers over `span`, collected; arming takes less than `each` for one.
absl::StatusOr<Metrics> Expire(const WayInfo& info, size_t count, Nanoseconds span, bool calls,
                               Nanoseconds each = 5 * kMicrosecond) {
  const std::unique_ptr<CallCounter> counter = calls ? std::make_unique<CallCounter>() : nullptr;
  auto timers = ArmInTime(info, count, span, each);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Recorder& recorder = (*timers)->recorder();
  uint64_t expected = 0;
  for (size_t i = 0; i < count; ++i) expected += Disarmed(i) ? 0 : 1;

  Metrics metrics;
  if (counter != nullptr) counter->Restart();
  const Nanoseconds before = CpuTime();
  const bool all = (*timers)->WaitFor(expected);
  metrics["ns"] = static_cast<double>(CpuTime() - before) / static_cast<double>(expected);
  if (counter != nullptr) {
    if (const auto sum = counter->Count()) {
      metrics["calls"] = static_cast<double>(*sum) / static_cast<double>(expected);
    }
  }
  if (!all) {
    return absl::InternalError(absl::StrCat(recorder.total(), " expirations of ", expected));
  }
  way.Collect();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t times = Disarmed(i) ? 0 : 1;
    if (recorder.count(i) == times) continue;
    return absl::InternalError(
        absl::StrCat("timer ", i, " expired ", recorder.count(i), " times, not ", times));
  }
  AddPercentiles(recorder.lateness(), &metrics);
  return metrics;
}

}  // namespace

absl::StatusOr<Metrics> RunExpire(const WayInfo& info, size_t count, Pace pace) {
  const Nanoseconds span = pace == Pace::kSmoke ? 20 * kMillisecond : kSecond;
  auto metrics = Expire(info, count, span, false);
  if (!metrics.ok()) return metrics;
  // Calls are counted apart, as densely.
  auto counted = Expire(info, count / 8, span / 8, true);
  if (!counted.ok()) return counted;
  if (const auto calls = counted->find("calls"); calls != counted->end()) metrics->insert(*calls);
  return metrics;
}

absl::StatusOr<Metrics> RunExpireDensely(const WayInfo& info, size_t count, Pace /*pace*/) {
  return Expire(info, count, static_cast<Nanoseconds>(count) * kMicrosecond, false, kMicrosecond);
}

}  // namespace kevbench
