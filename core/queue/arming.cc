// SPDX-License-Identifier: MIT
//
// The armer's steps after it has replaced the setting word.  They run in any thread and in signal
// handlers, take no lock, and make a system call only if the deadline is earlier than what the
// kernel was told.

#include <absl/base/attributes.h>
#include <absl/base/optimization.h>

#include "core/queue/queue.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

void Queue::Armed(uint32_t slot, TimerSlot& timer, AxisDeadline deadline) {
  // If an entry of the index comes up earlier on the same axis, the collector reads the word in
  // time: it clears `scheduled_at` before it reads the word for the last time.
  const AxisDeadline scheduled(timer.scheduled_at.load());
  if (scheduled.deadline() != 0 && scheduled.deadline() < deadline.deadline() &&
      scheduled.on_monotonic_axis() == deadline.on_monotonic_axis()) {
    return;
  }
  // The memory is wiped in a child of fork: a signal handler has forked and returned there.
  QueueMemory* const memory = memory_;
  if (ABSL_PREDICT_FALSE(memory == nullptr)) return;
  inbox_.Mark(memory->inbox, slot);

  const uint8_t index =
      deadline.on_monotonic_axis() ? kMonotonicAxis : timer.axis.load(std::memory_order_relaxed);
  if (doorbell_.WillBeHeardBy(index, deadline.deadline())) return;
  NotifyAt(index, deadline.deadline());
}

ABSL_ATTRIBUTE_NOINLINE void Queue::NotifyAt(uint8_t index, Nanoseconds deadline) {
  const SignalsBlocked blocked;  // model: SIGNALS_NOT_BLOCKED
  if (!Pin()) return;            // a closed queue: its timers go on silently
  doorbell_.NotifyAt(index, deadline);
  Unpin();
}

void Queue::Wake() {
  if (doorbell_.WillBeHeard()) return;
  const SignalsBlocked blocked;
  if (!Pin()) return;
  doorbell_.Notify();
  Unpin();
}

void Queue::AlarmFired(uint8_t index) {
  if (!Pin()) return;
  doorbell_.NoteAlarm(index);
  Unpin();
}

bool Queue::ClockLives(uint8_t axis) {
  const SignalsBlocked blocked;
  if (!Pin()) return true;  // closed: no caller is told
  const bool lives = doorbell_.timer(axis).OwnerLives();
  Unpin();
  return lives;
}

}  // namespace kevent::core
