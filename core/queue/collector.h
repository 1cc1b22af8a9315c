// SPDX-License-Identifier: MIT
//
// One collection: what is due in a queue is taken, earliest first, and the kernel is told what
// comes next.
//
//   Collect = drain the inbox, read the clocks, then
//             look    how many are due, if fewer than `min` are not to be taken;
//             take    timers and other kevents, each with half of the room if both need it;
//             settle  announce what is left, or withdraw the announcement, set the kernel's
//                     timers, and look again
//             and again from there while more has come and there is room.
//
// It lies on the stack of the call, under the lock of the queue from its constructor on.  Its
// state is that of this collection:
//   - how late the last timer was that it has taken.  A timer that is later was armed after that,
//     in the past, and is for the next collection: events of one batch are in order of time.
//   - the kevents to take from, or nullptr;
//   - what is known of the batch by now.
//
// The queue has what lives on between collections: whose turn it is when there is room for one.

#ifndef KEVENT_CORE_QUEUE_COLLECTOR_H_
#define KEVENT_CORE_QUEUE_COLLECTOR_H_

#include <kevent/kevent.h>

#include "core/kevents/event_set.h"
#include "core/queue/queue.h"
#include "core/timers/timer_index.h"

namespace kevent::core {

class Collector {
 public:
  explicit Collector(Queue& queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue.lock_)
      : queue_(queue), index_(queue.index_), kevents_(queue.kevents()) {}

  // Takes up to `max` completions when at least `min` are due; *due is how many are, exactly if
  // they are fewer than `min`.
  unsigned Collect(unsigned min, unsigned max, ukevent* events, unsigned* due);

 private:
  void ReadClocks();
  void TakeAndAsk(unsigned max, ukevent* events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  void Count(unsigned min, unsigned max, unsigned* due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  void CountKevents(unsigned wanted);
  unsigned ShareOfKevents(unsigned max) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  unsigned RoomForKevents(unsigned min, unsigned max, unsigned timers) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  void Take(unsigned max, ukevent* events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  unsigned ClaimTimers(unsigned max, ukevent* events);
  bool Claim(uint8_t axis, ukevent* event);
  bool Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);

  Queue& queue_;
  TimerIndex& index_;
  KeventSet* const kevents_;

  Nanoseconds last_late_ = kLatest;  // how late the last one was that was taken
  bool out_of_order_ = false;        // a later one was found

  unsigned claimed_ = 0;
  bool enough_ = true;      // so many are due as are asked for
  bool more_ = false;       // the kernel may have more that is ready
  bool withdrawn_ = false;  // the announcement was, and nobody has looked again since
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_COLLECTOR_H_
