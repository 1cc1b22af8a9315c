// SPDX-License-Identifier: MIT
//
// A clock on which timers of a queue have deadlines, and the kernel object that
// makes the queue readable when the earliest has come.

#ifndef KEVENT_CORE_AXIS_H_
#define KEVENT_CORE_AXIS_H_

#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/clocks.h"
#include "core/deadline_run.h"
#include "core/far_index.h"
#include "core/kernel_register.h"
#include "core/timespec.h"

namespace kevent::core {

inline constexpr uint32_t kMaxAxes = 250;
inline constexpr uint8_t kMonotonicAxis = 0;

// What an axis's KernelRegister holds: larger is earlier, 0 is no deadline, so
// that zeroed memory is a disarmed timerfd.
inline constexpr uint64_t Earliness(Nanoseconds deadline) {
  return deadline == 0 ? 0 : kLatest + 1 - deadline;
}
inline constexpr Nanoseconds DeadlineOf(uint64_t earliness) {
  return earliness == 0 ? 0 : kLatest + 1 - earliness;
}

struct Axis {
  KernelRegister armed;
  std::atomic<int> source;  // number of its timerfd or alarm, plus one; 0: none
  std::atomic<clockid_t> clock;
  std::atomic<AxisKind> kind;
  std::atomic<bool> relative_on_monotonic;
  std::atomic<bool> alarm_fired;  // CPU time: the kernel's timer is spent
  std::atomic<bool> ended;        // CPU time: of a thread that has gone, as is known by now

  // Under the queue's lock:
  uint32_t members;  // timers that can have a deadline here
  uint32_t heap_size;
  RunState run;
  FarState far;
  Nanoseconds now;   // as read by this collection; 0: not read
  Nanoseconds read;  // when it was read last
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AXIS_H_
