// SPDX-License-Identifier: MIT
//
// The end of operations: who is told of it.

#ifndef KEVENT_CORE_QUEUE_NOTIFIER_H_
#define KEVENT_CORE_QUEUE_NOTIFIER_H_

#include <signal.h>

#include <cstdint>

#include "core/operations/operation.h"

namespace kevent::core {

class Queue;

// How an operation is to be told of: into the queue that the sigevent names, or
// as the C library does.  0, EBADF or EINVAL for the queue, or EAGAIN.
int PlanNotification(const sigevent& notification, Operation* operation);

// Tells of completions: whom they are for is woken once for all that come one
// after the other, lest he collect the first while the others follow.
class Notifier {
 public:
  Notifier() = default;
  ~Notifier() { Wake(); }
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Tells of its completion, and is the last to use it.
  void Complete(uint32_t operation);

 private:
  bool Post(const Operation& operation, uint32_t number);
  void Wake();

  Queue* queue_ = nullptr;  // pinned, and to be woken
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_NOTIFIER_H_
