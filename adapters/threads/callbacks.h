// SPDX-License-Identifier: MIT
//
// The callbacks that may have to be made.  A pool's queue reports a cookie, which names a record by
// number and generation: the record of a timer that was deleted is found no more, whatever thread
// has an event of it in its hands.

#ifndef KEVENT_ADAPTERS_THREADS_CALLBACKS_H_
#define KEVENT_ADAPTERS_THREADS_CALLBACKS_H_

#include <mqueue.h>
#include <signal.h>
#include <time.h>

#include <cstdint>

#include "adapters/threads/fresh.h"
#include "core/base/lock.h"

namespace kevent::threads {

using core::Lock;
using core::Locked;

class Pool;

struct Callback {
  enum class Of : uint8_t { kTimer, kMessage, kOperation };

  void (*function)(sigval);
  sigval value;
  Pool* pool;
  Of of;
  uint32_t number;
  uint32_t generation;
  uint32_t next;  // number plus one: in the free list, a bucket of timers, or that of messages
  timer_t timer;  // of kTimer
  mqd_t message_queue;  // of kMessage

  void* cookie() const {
    return reinterpret_cast<void*>(uint64_t{generation} << 32 | (number + 1));
  }
  Signals signals() const { return of == Of::kTimer ? Signals::kBlocked : Signals::kOpen; }
};

// What is left of a record when its callback begins.
struct Begun {
  void (*function)(sigval);
  sigval value;
  Signals signals;
  bool was_the_only_one;  // the record is freed
};

// Zeroed memory is without callbacks.
class Callbacks {
 public:
  // Returns a record of what the notification says, or nullptr if there is no memory.
  Callback* Add(Callback::Of of, const sigevent& notification, Pool* pool);
  // Frees a record whose event will not come.
  void Remove(Callback* callback);

  // From now on RemoveTimer finds it.
  void NameTimer(Callback* callback, timer_t timer);
  // Returns the pool of the timer, whose callbacks begin no more, or nullptr if the timer is not
  // the adapter's.
  Pool* RemoveTimer(timer_t timer);

  // From now on RemoveOldMessage finds it.
  void NameMessageQueue(Callback* callback, mqd_t queue);
  // Removes the record that comes after the `latest` ones of this queue and returns its pool, or
  // nullptr if there is none.
  Pool* RemoveOldMessage(mqd_t queue, unsigned latest);

  // An event has come.  False if there is no callback to be made.
  bool Begin(void* cookie, Begun* begun);

 private:
  static constexpr uint32_t kBuckets = 1u << 16;

  Callback* Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Free(Callback* callback) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Callback* Find(void* cookie) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint32_t* BucketOf(timer_t timer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  Lock lock_;  // whoever holds it neither allocates nor runs code of the program
  uint32_t free_ ABSL_GUARDED_BY(lock_);
  uint32_t used_ ABSL_GUARDED_BY(lock_);      // numbers below were handed out once
  uint32_t messages_ ABSL_GUARDED_BY(lock_);  // the latest comes first
  uint32_t buckets_[kBuckets] ABSL_GUARDED_BY(lock_);
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_CALLBACKS_H_
