// SPDX-License-Identifier: MIT
//
// Threads that make callbacks, one after the other, as a queue of their own has events.

#ifndef KEVENT_ADAPTERS_THREADS_POOL_H_
#define KEVENT_ADAPTERS_THREADS_POOL_H_

#include <atomic>

#include "adapters/threads/attributes.h"
#include "adapters/threads/fresh.h"
#include "core/base/lock.h"

namespace kevent::threads {

using core::Lock;
using core::Locked;

// Zeroed memory is a pool that is not used.
//
// A thread is idle while it waits for an event.  The last idle one that takes an event makes
// another before it begins the callback, so that events need not wait for a callback to end.  If
// none can be made, they wait in the queue.
class Pool {
 public:
  // *queue is where the descriptor of the queue is kept, or 0.  A child of fork finds a queue
  // there, which is empty.  False if there is no queue to be had.
  bool Open(const Attributes& attributes, std::atomic<int>* queue);
  bool is_used() const { return queue_ != nullptr; }
  const Attributes& attributes() const { return attributes_; }
  // The program may have closed the queue, with all descriptors.  False as above.
  bool HasQueue();
  int queue() const { return queue_->load(std::memory_order_acquire); }

  // One more event may come.  False if the pool has no thread and none can be made.
  bool Expect();
  // One event less can come.
  void Forget();

 private:
  struct Made;

  static void* Run(void* pool);
  static bool Make(Made* made);
  static void EndedByCallback(void* made);

  bool Start();
  bool StartAnother();
  void Serve();
  bool Await(void** cookie);
  bool IsWantedStill(bool* until_told);
  bool FindAnotherQueue(int closed);
  void TakeFromIdle();
  void ReturnToIdle();
  bool HandOn();

  Attributes attributes_;
  Inherited inherited_;
  std::atomic<int>* queue_;

  Lock lock_;
  // Idle threads, and all of them, as their makers have counted them: one that has not been counted
  // yet may have taken an event already, so either can be negative.
  int idle_ ABSL_GUARDED_BY(lock_);
  int threads_ ABSL_GUARDED_BY(lock_);
  int starting_ ABSL_GUARDED_BY(lock_);  // threads that are making another
  long expected_ ABSL_GUARDED_BY(lock_);
  bool one_waits_until_told_ ABSL_GUARDED_BY(lock_);
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_POOL_H_
