// SPDX-License-Identifier: MIT
//
// An axis: a clock on which timers of a queue have deadlines.  For each axis a queue has a
// KernelTimer (core/queue/kernel_timer.h) and a part of its TimerIndex, under the same number.

#ifndef KEVENT_CORE_TIMERS_AXIS_H_
#define KEVENT_CORE_TIMERS_AXIS_H_

#include <cstdint>

namespace kevent::core {

inline constexpr uint32_t kMaxAxes = 250;
inline constexpr uint8_t kMonotonicAxis = 0;

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_AXIS_H_
