// SPDX-License-Identifier: MIT
//
// The notification of completed operations.

#ifndef KEVENT_CORE_QUEUE_NOTIFIER_H_
#define KEVENT_CORE_QUEUE_NOTIFIER_H_

#include <signal.h>

#include <cstdint>

#include "core/operations/operation.h"

namespace kevent::core {

class EventSet;
class Queue;

// Takes a fresh record, as Operations::Allocate.  Those of closed queues' transfers come back if
// there is none left: whoever begins an operation takes its record here.
int TakeOperation(uint32_t* number);

// Plans the notification of an operation: into the queue that the sigevent names, or as the C
// library does.  0, EBADF or EINVAL for the queue, or EAGAIN.
int PlanNotification(const sigevent& notification, Operation* operation);

// Notifies of completions.  A queue is woken once for several that come one after the other, lest a
// collector takes the first while the others follow.
class Notifier {
 public:
  Notifier() = default;
  ~Notifier() { Wake(); }
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Notifies of the operation's completion; nothing uses the operation after that.
  void Complete(uint32_t operation);

 private:
  EventSet* SetOf(const Operation& operation);
  void Wake();

  Queue* queue_ = nullptr;  // pinned, and to be woken
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_NOTIFIER_H_
