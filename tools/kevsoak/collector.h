// SPDX-License-Identifier: MIT
//
// A thread that collects, and counts what was reported.

#ifndef KEVENT_TOOLS_KEVSOAK_COLLECTOR_H_
#define KEVENT_TOOLS_KEVSOAK_COLLECTOR_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "tools/kevsoak/timer.h"

namespace kevsoak {

inline char g_release;  // the cookie of what ends the collectors

class Collector {
 public:
  Collector(int queue, std::vector<Timer>& timers) : queue_(queue), timers_(timers) {}

  // Without a timeout, which would make up for a wake-up that was lost.
  void Run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) Collect(1);
    while (Collect(0) != 0) {
    }
  }

  uint64_t reported() const { return reported_.load(std::memory_order_relaxed); }
  uint64_t of_deleted() const { return of_deleted_.load(std::memory_order_relaxed); }

 private:
  int Collect(unsigned least) {
    ukevent events[256];
    const int count = kevent_get_events(queue_, least, 256, nullptr, events, 0);
    Check(count, "kevent_get_events");
    const int64_t now = Now();
    for (int i = 0; i < count; ++i) {
      if (events[i].ptr != &g_release) Take(events[i], now);
    }
    return count;
  }

  void Take(const ukevent& event, int64_t now) {
    const auto cookie = reinterpret_cast<uintptr_t>(event.ptr);
    const auto number = static_cast<uint32_t>(cookie);
    Timer& timer = timers_[number];
    reported_.fetch_add(1, std::memory_order_relaxed);
    if (event.ret_data[0] != 0) Fail(number, "a one-shot with overruns");
    // Before it is counted: until then a timer that is near is left alone.
    const bool early = timer.life.load() == Life::kNear && now < timer.earliest.load();
    if (!timer.reports.Count(static_cast<uint32_t>(cookie >> 32))) {
      of_deleted_.fetch_add(1, std::memory_order_relaxed);
    } else if (early) {
      Fail(number, "early");
    }
  }

  const int queue_;
  std::vector<Timer>& timers_;
  std::atomic<uint64_t> reported_{0};
  std::atomic<uint64_t> of_deleted_{0};  // on the way when their timer was deleted
};

}  // namespace kevsoak

#endif  // KEVENT_TOOLS_KEVSOAK_COLLECTOR_H_
