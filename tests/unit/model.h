// SPDX-License-Identifier: MIT
//
// A slow, obvious model of the timers of one queue: a list, looked through from
// end to end for every question.

#ifndef KEVENT_TESTS_UNIT_MODEL_H_
#define KEVENT_TESTS_UNIT_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <vector>

#include "tests/unit/simulated_system.h"

namespace kevent_test {

struct ModelTimer {
  uint64_t handle = 0;
  uint64_t cookie = 0;
  clockid_t clock = CLOCK_MONOTONIC;
  // The setting: on which clock the deadline is, the first expiration that was
  // not collected (0: disarmed), the period.
  clockid_t measured_on = CLOCK_MONOTONIC;
  uint64_t deadline = 0;
  uint64_t interval = 0;
  uint64_t armed_as = 0;  // order of arming
  int overruns = 0;       // what timer_getoverrun says
};

struct ModelEvent {
  uint64_t handle;
  uint64_t cookie;
  uint32_t overruns;
  uint32_t lateness;
};

class Model {
 public:
  static constexpr uint64_t kLatest = (uint64_t{1} << 62) - 1;

  static uint64_t Now(clockid_t clock) { return Simulation::Get().Now(clock); }

  static bool RelativeDoesNotMove(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_TAI;
  }

  void Set(ModelTimer& timer, bool absolute, uint64_t value, uint64_t interval) {
    timer.overruns = 0;
    timer.armed_as = ++armings_;
    timer.deadline = 0;
    timer.interval = 0;
    if (value == 0) return;
    timer.interval = std::min(interval, kLatest);
    timer.measured_on =
        !absolute && RelativeDoesNotMove(timer.clock) ? CLOCK_MONOTONIC : timer.clock;
    const uint64_t from = absolute ? 0 : Now(timer.measured_on);
    timer.deadline = value > kLatest - from ? kLatest : from + value;
  }

  static bool Due(const ModelTimer& timer) {
    return timer.deadline != 0 && timer.deadline <= Now(timer.measured_on);
  }

  static uint64_t Remaining(const ModelTimer& timer) {
    if (timer.deadline == 0) return 0;
    const uint64_t now = Now(timer.measured_on);
    if (now < timer.deadline) return timer.deadline - now;
    if (timer.interval == 0) return 0;
    return timer.interval - (now - timer.deadline) % timer.interval;
  }

  size_t CountDue() const {
    return static_cast<size_t>(std::count_if(timers.begin(), timers.end(), Due));
  }

  // What a collection of at most `max` events reports: those due longest first,
  // equals in the order of arming.
  std::vector<ModelEvent> Collect(size_t max) {
    std::vector<ModelTimer*> due;
    for (ModelTimer& timer : timers) {
      if (Due(timer)) due.push_back(&timer);
    }
    const auto late = [](const ModelTimer* t) { return Now(t->measured_on) - t->deadline; };
    std::sort(due.begin(), due.end(), [&](const ModelTimer* a, const ModelTimer* b) {
      return late(a) != late(b) ? late(a) > late(b) : a->armed_as < b->armed_as;
    });
    if (due.size() > max) due.resize(max);
    std::vector<ModelEvent> events;
    events.reserve(due.size());
    for (ModelTimer* timer : due) events.push_back(Claim(*timer));
    return events;
  }

  // Collects it.
  static ModelEvent Claim(ModelTimer& timer) {
    const uint64_t now = Now(timer.measured_on);
    uint64_t overruns = 0;
    uint64_t last = timer.deadline;
    if (timer.interval == 0) {
      timer.deadline = 0;
    } else {
      overruns = (now - timer.deadline) / timer.interval;
      last += overruns * timer.interval;
      timer.deadline = timer.interval > kLatest - last ? kLatest : last + timer.interval;
    }
    timer.overruns = static_cast<int>(std::min<uint64_t>(overruns, INT32_MAX));
    return {timer.handle, timer.cookie, static_cast<uint32_t>(timer.overruns),
            static_cast<uint32_t>(std::min<uint64_t>(now - last, UINT32_MAX))};
  }

  std::vector<ModelTimer> timers;

 private:
  uint64_t armings_ = 0;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_MODEL_H_
