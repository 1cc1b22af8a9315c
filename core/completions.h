// SPDX-License-Identifier: MIT
//
// The end of operations: who is told, and what waits in a queue to be
// collected.

#ifndef KEVENT_CORE_COMPLETIONS_H_
#define KEVENT_CORE_COMPLETIONS_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cstdint>

#include "core/operation.h"

namespace kevent::core {

class Queue;

// What has completed into one queue.  Zeroed memory is an empty one.
class Completions {
 public:
  // From any thread; async-signal-safe.
  void Post(uint32_t operation);
  bool any_posted() const { return posted_.load(std::memory_order_seq_cst) != 0; }

  // All below but Clear under the queue's lock.  Takes what was posted into the count.
  void Harvest();
  unsigned count() const { return count_; }
  unsigned Deliver(unsigned max, ukevent* events);
  // Of a queue that was closed, by its last pin: forgets all.  Async-signal-safe.
  void Clear();

 private:
  uint32_t TakeFirst();

  std::atomic<uint32_t> posted_;  // plus one; the last comes first
  uint32_t first_;                // plus one; oldest first
  uint32_t last_;
  unsigned count_;
};

// How an operation is to be told of: into the queue that the sigevent names, or
// as the C library does.  0, EBADF or EINVAL for the queue, or EAGAIN.
int PlanNotification(const sigevent& notification, Operation* operation);

// Tells of completions: whom they are for is woken once for all that come one
// after the other, lest he collect the first while the others follow.
class Teller {
 public:
  Teller() = default;
  ~Teller() { Wake(); }
  Teller(const Teller&) = delete;
  Teller& operator=(const Teller&) = delete;

  // Tells of its completion, and is the last to use it.
  void Complete(uint32_t operation);

 private:
  bool Post(const Operation& operation, uint32_t number);
  void Wake();

  Queue* queue_ = nullptr;  // pinned, and to be woken
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_COMPLETIONS_H_
