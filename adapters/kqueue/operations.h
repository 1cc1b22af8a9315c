// SPDX-License-Identifier: MIT
//
// Asynchronous operations that complete into kqueues.  On FreeBSD aio_return takes the event of an
// operation with it; a queue's event of one cannot be withdrawn, and is passed over instead.

#ifndef KEVENT_ADAPTERS_KQUEUE_OPERATIONS_H_
#define KEVENT_ADAPTERS_KQUEUE_OPERATIONS_H_

#include <cstdint>

#include "adapters/queues/index.h"
#include "core/base/lock.h"

namespace kevent::kqueue {

// Zeroed memory is that of a process without operations.
class Operations {
 public:
  // An operation of the control block, which completes into the kqueue of this number, is being
  // begun; Withdraw if it was not.  Without memory it is not noted, and its event comes in any
  // case.
  void Begin(uintptr_t control, uint32_t kqueue);
  void Withdraw(uintptr_t control, uint32_t kqueue);
  // Its status was fetched: where its event was not retrieved it is not to be.
  void Returned(uintptr_t control);
  // Whether an event of the control block that the kqueue has is to be reported.
  bool Retrieve(uintptr_t control, uint32_t kqueue);
  // The kqueue was closed, and its events with it.
  void Forget(uint32_t kqueue);

 private:
  // Events of a control block that are to come from a kqueue: those of operations whose status was
  // fetched come first, as these ended before the block was used again.
  struct Entry {
    Entry* next;  // with the hash of the block, or free
    uint64_t control;
    uint32_t kqueue;
    bool is_of_last;  // the operation that was begun last with the block is of this kqueue
    uint32_t expected;
    uint32_t passed_over;
  };

  Entry* Find(uintptr_t control, uint32_t kqueue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Entry* Add(uintptr_t control, uint32_t kqueue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void RemoveIfOver(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Remove(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  core::Lock lock_;
  queues::Index<Entry, &Entry::control, &Entry::next> by_control_ ABSL_GUARDED_BY(lock_);
  Entry* free_ ABSL_GUARDED_BY(lock_);
};

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_OPERATIONS_H_
