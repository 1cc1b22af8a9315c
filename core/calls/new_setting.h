// SPDX-License-Identifier: MIT
//
// How timer_settime and kevent_settime replace the setting of a timer.

#ifndef KEVENT_CORE_CALLS_NEW_SETTING_H_
#define KEVENT_CORE_CALLS_NEW_SETTING_H_

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
struct NewSetting {
  TimerSlot* timer;
  Queue* queue;
  uint32_t slot;
  uint32_t timer_generation;
  uint64_t order;
  PackedSetting before;
  PackedSetting after;

  AxisDeadline deadline() const { return AxisDeadline(after.low()); }
  bool arms() const { return deadline().deadline() != 0; }

  // Replaces the setting: 0 or an errno.
  ABSL_ATTRIBUTE_ALWAYS_INLINE int Commit() {
    return ABSL_PREDICT_TRUE(timer->word.Swap(before, after)) ? 0 : CommitAnew();
  }
  // After a swap that has failed, and has said what the word holds.
  int CommitAnew() {
    do {
      if (!timer->live_as(timer_generation) || !Replaces(before)) return EINVAL;
      after = after.After(before);
    } while (!timer->word.Swap(before, after));
    return 0;
  }

  // Says that this setting is the one that comes after `replaced`, whose overruns are forgotten, if
  // it is periodic.  False if the timer is gone.
  ABSL_ATTRIBUTE_ALWAYS_INLINE bool Replaces(PackedSetting replaced) const {
    timer->arming_order.store(order, std::memory_order_relaxed);
    return replaced.interval() == 0 || timer->life.NextSetting(timer_generation);
  }
};

// Finds the timer, the moment of the deadline and the setting that goes: 0 or an errno.  `time` is
// asked for the clocks that this takes.
template <typename Time>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline int Prepare(Handle handle, int flags, const itimerspec& value,
                                                Time& time, NewSetting* setting) {
  if (!IsValidSetting(value)) return EINVAL;
  TimerSlot* const timer = SlotTable::Find(handle);
  if (ABSL_PREDICT_FALSE(timer == nullptr)) return EINVAL;
  // Among very many timers the slot is in no cache.  While it comes, the clock is read that nearly
  // every relative setting is measured on.
  __builtin_prefetch(timer, 1);
  Setting next;
  next.deadline = ToNanoseconds(value.it_value);
  // Flags other than TIMER_ABSTIME are ignored, as the kernel does.
  const bool relative = next.armed() && (flags & TIMER_ABSTIME) == 0;
  const Nanoseconds monotonic = relative ? time.monotonic() : 0;
  // The timer's life is asked for after the word was read and before it is swapped: if timer_delete
  // comes in between, the swap fails (model: LIFE_IS_NOT_ASKED_FOR).
  const PackedSetting before = timer->word.Guess();
  if (ABSL_PREDICT_FALSE(!timer->live_as(handle.generation()))) return EINVAL;
  Queue* const queue = QueueOf(*timer);
  if (ABSL_PREDICT_FALSE(queue == nullptr)) return EINVAL;

  if (next.armed()) next.interval = ToNanoseconds(value.it_interval);
  next.on_monotonic_axis = relative && RelativeOnMonotonic(*timer, *queue);
  const clockid_t clock = ClockOf(*timer, *queue, next.on_monotonic_axis);
  if (relative && clock == CLOCK_MONOTONIC) {
    next.deadline = AddSaturating(monotonic, next.deadline);
  } else if (relative || IsDynamic(clock)) {
    // Only the CPU time of a thread or process that has ended cannot be read.  The kernel refuses
    // every setting of such a timer (posix_cpu_timer_set).
    Nanoseconds now;
    if (!time.Read(clock, *timer, *queue, &now)) return ESRCH;
    if (relative) next.deadline = AddSaturating(now, next.deadline);
  }
  *setting = {timer,
              queue,
              handle.slot(),
              handle.generation(),
              NextArmingOrder(),
              before,
              PackedSetting(next).After(before)};
  return ABSL_PREDICT_TRUE(setting->Replaces(before)) ? 0 : EINVAL;
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_NEW_SETTING_H_
