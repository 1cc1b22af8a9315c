// SPDX-License-Identifier: MIT
//
// One collection: it takes from a queue what is due, earliest first, and tells the kernel what
// comes next.
//
//   Collect = drain the inbox, read the clocks, then
//             look    how many are due, if fewer than `min` are not to be taken;
//             take    timers and other kevents, each with half of the room if both need it;
//             settle  announce what is left, or withdraw the announcement, set the kernel's
//                     timers, and look again
//             and again from there while more has come and there is room.
//
// A Collector lies on the stack of the call, and holds the lock of the queue from its constructor
// on.  Its state is that of this collection:
// - the lateness of the last timer that it has taken.  A timer that is later was armed after that,
//   in the past, and is for the next collection: events of one batch are in order of time;
// - the kevents to take from, or nullptr;
// - what is known of the batch by now.
//
// State that lives on between collections is the queue's: which kind has its turn if there is room
// for one event.

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

  // Takes up to `max` completions if at least `min` are due; *due is their number, exact if it is
  // less than `min`.
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
  EventSet* const kevents_;

  Nanoseconds last_late_ = kLatest;  // lateness of the timer that was taken last
  bool out_of_order_ = false;        // a later timer was found

  unsigned claimed_ = 0;
  bool enough_ = true;      // at least `min` are due
  bool more_ = false;       // the kernel may have more that is ready
  bool withdrawn_ = false;  // the announcement was withdrawn, and no look into the inbox came since
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_COLLECTOR_H_
