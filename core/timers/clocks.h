// SPDX-License-Identifier: MIT
//
// The plan by which each POSIX clock is served.

#ifndef KEVENT_CORE_TIMERS_CLOCKS_H_
#define KEVENT_CORE_TIMERS_CLOCKS_H_

#include <time.h>

#include <cstdint>

namespace kevent::core {

enum class AxisKind : uint8_t {
  kUnused,
  kTimerfd,   // a timerfd on the clock itself
  kSettable,  // a timerfd, on a clock that can be set
  kTai,       // a timerfd on CLOCK_REALTIME: CLOCK_TAI has none
  kCpuTime,   // a kernel timer that wakes the helper thread
};

struct ClockPlan {
  clockid_t clock;  // the clock that the axis is measured on, as ClockMeantBy names it
  AxisKind kind;
  // Relative timers do not move when the clock is set (POSIX timer_settime):
  // they are kept on the monotonic axis.
  bool relative_on_monotonic;
};

// A clock of CPU time has several names, some of which mean another clock in another thread or
// process.  Returns the name that means this clock to every thread of the process; clocks are
// compared by it.
clockid_t ClockMeantBy(clockid_t name);

// True for the clock of the CPU time of a thread or process that the name gives the id of.
bool IsCpuClockById(clockid_t clock);

// Returns 0, or what the kernel's timer_create answers: EINVAL for no clock, EOPNOTSUPP for one
// that cannot have timers, EPERM without the capability for alarms.
int PlanFor(clockid_t name, ClockPlan* plan);

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_CLOCKS_H_
