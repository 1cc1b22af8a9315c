// SPDX-License-Identifier: MIT
//
// What timers of one place add up to: for the rows that are used again, and for what kevrun prints.

#ifndef KEVENT_ADAPTERS_REPORT_SUMS_H_
#define KEVENT_ADAPTERS_REPORT_SUMS_H_

#include "adapters/report/table.h"

namespace kevent::report {

inline uint64_t SettingsOf(const HotTimer& hot, const Timer& timer) {
  return timer.settings.load(std::memory_order_relaxed) + hot.count.load(std::memory_order_relaxed);
}

inline bool IsQueued(const Timer& timer) { return timer.queue >= 0; }

// A timer in a queue whose last setting may still expire, or has and waits for its collection.
inline bool AwaitsEvent(const HotTimer& hot, const Timer& timer) {
  const uint64_t settings = SettingsOf(hot, timer);
  return timer.state == State::kLive && timer.disarmed_by != settings &&
         timer.last_served != settings;
}

// Of a timer in a queue, each arming has been reported, is still to be, or was replaced.
inline uint64_t ReplacedOf(const HotTimer& hot, const Timer& timer) {
  if (!IsQueued(timer)) return timer.replaced;
  const uint64_t over =
      timer.disarmings + timer.served + (AwaitsEvent(hot, timer) ? uint64_t{1} : 0);
  const uint64_t settings = SettingsOf(hot, timer);
  return settings > over ? settings - over : 0;
}

inline void AddTo(Sums& sums, const HotTimer& hot, const Timer& timer) {
  const auto add = [](Count& sum, uint64_t number) {
    sum.fetch_add(number, std::memory_order_relaxed);
  };
  const auto raise = [](Count& most, uint64_t number) {
    if (most.load(std::memory_order_relaxed) < number) most = number;
  };
  add(sums.timers, 1);
  add(sums.settings, SettingsOf(hot, timer));
  add(sums.disarmings, timer.disarmings);
  add(sums.replaced, ReplacedOf(hot, timer));
  add(sums.expirations, timer.expirations);
  add(sums.collections, timer.collections);
  add(sums.overruns, timer.overruns);
  add(sums.lateness, timer.lateness);
  raise(sums.most_late, timer.most_late);
  add(sums.callbacks, timer.callbacks);
  raise(sums.most_at_once, timer.most_at_once);
}

}  // namespace kevent::report

#endif  // KEVENT_ADAPTERS_REPORT_SUMS_H_
