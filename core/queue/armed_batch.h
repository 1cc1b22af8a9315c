// SPDX-License-Identifier: MIT
//
// Timers that one call has armed, until their queues are told.
//
// An armer replaces the word, marks the timer in the inbox of its queue, and tells the queue unless
// a collector looks in time (core/queue/arming.cc).  For many timers the last two steps can be made
// later: neighbours are marked together, and of all timers on one clock the earliest deadline
// stands for the others.  Only the order of the three steps counts for each timer.
//
// Until then no collector has to know of the timers, so the batch is on the stack of a call that
// does not sleep.  Async-signal-safe.

#ifndef KEVENT_CORE_QUEUE_ARMED_BATCH_H_
#define KEVENT_CORE_QUEUE_ARMED_BATCH_H_

#include <cstdint>

#include "core/queue/queue.h"
#include "core/timers/setting.h"
#include "core/timers/slot_table.h"

namespace kevent::core {

class ArmedBatch {
 public:
  ArmedBatch() = default;
  ~ArmedBatch() { Tell(); }
  ArmedBatch(const ArmedBatch&) = delete;
  ArmedBatch& operator=(const ArmedBatch&) = delete;

  // The word of this timer was replaced by one with a deadline.
  void Add(Queue& queue, uint32_t slot, const TimerSlot& timer, AxisDeadline deadline) {
    if (Queue::IsScheduledBefore(timer, deadline)) return;
    if (&queue != queue_ || slot / 64 != word_) {
      Mark();
      queue_ = &queue;
      word_ = slot / 64;
    }
    bits_ |= uint64_t{1} << slot % 64;
    Expect(queue, Queue::AxisOf(timer, deadline), deadline.deadline());
  }

  // Marks what is not marked.
  void Mark();
  // The same, and tells each queue.
  void Tell();

 private:
  // The earliest deadline on one clock of a queue.
  struct Earliest {
    Queue* queue;
    uint8_t axis;
    Nanoseconds deadline;
  };
  // A call that arms timers on more clocks tells a queue more than once.
  static constexpr uint32_t kMost = 16;

  void Expect(Queue& queue, uint8_t axis, Nanoseconds deadline) {
    if (last_ >= count_ || earliest_[last_].queue != &queue || earliest_[last_].axis != axis) {
      Find(queue, axis);
    }
    Earliest& earliest = earliest_[last_];
    if (deadline < earliest.deadline) earliest.deadline = deadline;
  }
  void Find(Queue& queue, uint8_t axis);

  // Timers that are still to be marked: of 64 neighbours in one queue.
  Queue* queue_ = nullptr;
  uint32_t word_ = 0;
  uint64_t bits_ = 0;

  uint32_t count_ = 0;
  uint32_t last_ = 0;  // the place that was used last
  Earliest earliest_[kMost];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_ARMED_BATCH_H_
