// SPDX-License-Identifier: MIT
//
// The armer's steps after it has replaced the setting word.  They run in any thread and in signal
// handlers, take no lock, and make a system call only if the deadline is earlier than what the
// kernel was told.

#include <absl/base/attributes.h>

#include "core/queue/queue.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

void Queue::Armed(uint32_t slot, const TimerSlot& timer, AxisDeadline deadline) {
  if (IsScheduledBefore(timer, deadline)) return;
  MarkWord(slot / 64, uint64_t{1} << slot % 64);
  NotifyBy(AxisOf(timer, deadline), deadline.deadline());
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
