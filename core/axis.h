// SPDX-License-Identifier: MIT
//
// An axis: a clock on which timers of a queue have deadlines.  Of each a queue has a KernelTimer
// (core/kernel_timer.h) and an AxisIndex, under the same index.

#ifndef KEVENT_CORE_AXIS_H_
#define KEVENT_CORE_AXIS_H_

#include <cstdint>

#include "core/deadline_run.h"
#include "core/far_index.h"
#include "core/setting.h"

namespace kevent::core {

inline constexpr uint32_t kMaxAxes = 250;
inline constexpr uint8_t kMonotonicAxis = 0;

// The index of the deadlines on one axis, but for its pages.  Guarded by the lock of the queue.
struct AxisIndex {
  uint32_t members;  // timers that can have a deadline here
  uint32_t heap_size;
  RunState run;
  FarState far;
  Nanoseconds now;   // as read by this collection; 0: not read
  Nanoseconds read;  // when it was read last
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AXIS_H_
