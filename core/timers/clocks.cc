// SPDX-License-Identifier: MIT

#include "core/timers/clocks.h"

#include <cerrno>

#include "core/system/system.h"

namespace kevent::core {
namespace {

// Dynamic clock ids as the kernel lays them out (include/linux/posix-timers.h):
// ~pid << 3, one bit for per-thread clocks, two bits of type, of which the
// value 3 is a clock behind a descriptor.
constexpr clockid_t kTypeMask = 3;
constexpr clockid_t kDescriptorType = 3;
constexpr clockid_t kSchedulerType = 2;
constexpr clockid_t kPerThread = 4;

}  // namespace

bool IsCpuClockById(clockid_t clock) { return clock < 0 && (clock & kTypeMask) != kDescriptorType; }

clockid_t ClockMeantBy(clockid_t name) {
  if (name == CLOCK_THREAD_CPUTIME_ID) return sys::ThreadCpuClock();
  if (!IsCpuClockById(name)) return name;
  const int id = ~(name >> 3);
  const clockid_t type = name & kTypeMask;
  if ((name & kPerThread) != 0) {
    return id == 0 ? (sys::ThreadCpuClock() & ~kTypeMask) | type : name;
  }
  const int process = sys::ProcessId();
  if (id != 0 && id != process) return name;
  return type == kSchedulerType ? CLOCK_PROCESS_CPUTIME_ID : ~process * 8 | type;
}

int PlanFor(clockid_t name, ClockPlan* plan) {
  const clockid_t clock = ClockMeantBy(name);
  switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      *plan = {clock, AxisKind::kTimerfd, false};
      return 0;
    case CLOCK_REALTIME:
      *plan = {clock, AxisKind::kSettable, true};
      return 0;
    case CLOCK_TAI:
      *plan = {clock, AxisKind::kTai, true};
      return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
      *plan = {clock, AxisKind::kCpuTime, false};
      return 0;
    default:
      break;
  }
  if (name == CLOCK_THREAD_CPUTIME_ID) {
    *plan = {clock, AxisKind::kCpuTime, false};
    return 0;
  }
  // The kernel is asked: alarms depend on the machine's RTC and on the capabilities of the process,
  // and the kernel's permissions decide whose CPU time may be timed.
  const int refused = -sys::ProbeTimerClock(clock);
  if (refused != 0) return refused;

  // An alarm that is relative is made absolute when it is set, as in the
  // kernel (alarmtimer.c): only its own clock wakes the machine from suspend.
  if (clock == CLOCK_REALTIME_ALARM) {
    *plan = {clock, AxisKind::kSettable, false};
  } else if (clock == CLOCK_BOOTTIME_ALARM) {
    *plan = {clock, AxisKind::kTimerfd, false};
  } else if (IsCpuClockById(clock)) {
    *plan = {clock, AxisKind::kCpuTime, false};
  } else {
    return EOPNOTSUPP;
  }
  return 0;
}

}  // namespace kevent::core
