// SPDX-License-Identifier: MIT
//
// How timer_settime and kevent_settime replace the setting of a timer.

#ifndef KEVENT_CORE_CALLS_REPLACEMENT_H_
#define KEVENT_CORE_CALLS_REPLACEMENT_H_

#include <absl/base/attributes.h>
#include <absl/base/optimization.h>
#include <time.h>

#include <cerrno>
#include <cstdint>

#include "core/base/timespec.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/timers/arming_order.h"
#include "core/timers/handle.h"
#include "core/timers/setting.h"
#include "core/timers/slot_table.h"

namespace kevent::core {

// The queue that the timer is in.  A slot's queue is stored before its generation, so a caller that
// then finds the generation right has the right queue; one that does not has some queue, and queues
// are never unmapped.
inline Queue* QueueOf(const TimerSlot& timer) {
  const uint32_t link = timer.queue_link();
  return link == 0 ? nullptr : &Queues::At(link - 1);
}

// The clock that a setting's deadline is measured on.
inline clockid_t ClockOf(const TimerSlot& timer, const Queue& queue, bool on_monotonic_axis) {
  const uint8_t index = timer.axis.load(std::memory_order_relaxed);
  if (index == kMonotonicAxis || on_monotonic_axis) return CLOCK_MONOTONIC;
  return queue.kernel_timer(index).clock.load(std::memory_order_relaxed);
}

// True for a clock of clock_getcpuclockid or pthread_getcpuclockid.
inline bool IsDynamic(clockid_t clock) { return clock < 0; }

inline bool ClockLives(const TimerSlot& timer, Queue& queue, clockid_t clock) {
  return !IsDynamic(clock) || queue.ClockLives(timer.axis.load(std::memory_order_relaxed));
}

inline bool RelativeOnMonotonic(const TimerSlot& timer, const Queue& queue) {
  const uint8_t index = timer.axis.load(std::memory_order_relaxed);
  return index != kMonotonicAxis &&
         queue.kernel_timer(index).relative_on_monotonic.load(std::memory_order_relaxed);
}

inline bool IsValidSetting(const itimerspec& value) {
  return IsValid(value.it_value) && IsValid(value.it_interval);
}

// A setting on its way into the word of a timer.
class Replacement {
 public:
  // Finds the timer: 0 or an errno.
  int Find(Handle handle, int flags, const itimerspec& value) {
    if (!IsValidSetting(value)) return EINVAL;
    timer_ = SlotTable::Find(handle);
    if (ABSL_PREDICT_FALSE(timer_ == nullptr)) return EINVAL;
    timer_generation_ = handle.generation();
    next_.deadline = ToNanoseconds(value.it_value);
    // Flags other than TIMER_ABSTIME are ignored, as the kernel does.
    relative_ = next_.armed() && (flags & TIMER_ABSTIME) == 0;
    return 0;
  }

  // Finds the moment of the deadline and the setting that it replaces: 0 or an errno.  `time` is
  // asked for the clocks that this takes.
  template <typename Time>
  ABSL_ATTRIBUTE_ALWAYS_INLINE int Prepare(const timespec& interval, Time& time) {
    if (ABSL_PREDICT_FALSE(!timer_->live_as(timer_generation_))) return EINVAL;
    queue_ = QueueOf(*timer_);
    if (ABSL_PREDICT_FALSE(queue_ == nullptr)) return EINVAL;

    if (next_.armed()) next_.interval = ToNanoseconds(interval);
    next_.on_monotonic_axis = relative_ && RelativeOnMonotonic(*timer_, *queue_);
    const clockid_t clock = ClockOf(*timer_, *queue_, next_.on_monotonic_axis);
    if (relative_ && clock == CLOCK_MONOTONIC) {
      next_.deadline = AddSaturating(time.monotonic(), next_.deadline);
    } else if (relative_ || IsDynamic(clock)) {
      // Only the CPU time of a thread or process that has ended cannot be read.  The kernel refuses
      // every setting of such a timer (posix_cpu_timer_set).
      Nanoseconds now;
      if (!time.Read(clock, *timer_, *queue_, &now)) return ESRCH;
      if (relative_) next_.deadline = AddSaturating(now, next_.deadline);
    }
    before_ = timer_->word.Guess();
    order_ = NextArmingOrder();
    return Begin();
  }

  // Replaces the setting: 0 or an errno.
  int Commit() {
    while (!timer_->word.Swap(before_, after_)) {
      if (const int error = Begin(); error != 0) return error;
    }
    return 0;
  }

  bool relative() const { return relative_; }
  bool arms() const { return next_.armed(); }
  TimerSlot& timer() const { return *timer_; }
  Queue& queue() const { return *queue_; }
  AxisDeadline deadline() const { return AxisDeadline(after_.low()); }
  Setting replaced() const { return before_.Unpack(); }

 private:
  // The overruns that were counted for the setting that goes are forgotten, if it is periodic.
  //
  // This comes after the word was read and before it is swapped: if timer_delete comes in between,
  // the swap fails (model: LIFE_IS_NOT_ASKED_FOR).
  int Begin() {
    const Setting replaced = before_.Unpack();
    const bool lives = replaced.interval == 0 ? timer_->live_as(timer_generation_)
                                              : timer_->life.NextSetting(timer_generation_);
    if (ABSL_PREDICT_FALSE(!lives)) return EINVAL;
    next_.generation = static_cast<uint8_t>((replaced.generation + 1) & 7);
    after_ = PackedSetting(next_);
    timer_->arming_order.store(order_, std::memory_order_relaxed);
    return 0;
  }

  TimerSlot* timer_;
  Queue* queue_;
  uint32_t timer_generation_;
  bool relative_;
  Setting next_;
  uint64_t order_;
  PackedSetting before_;
  PackedSetting after_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_REPLACEMENT_H_
