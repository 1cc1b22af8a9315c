// SPDX-License-Identifier: MIT
//
// What the adapter knows of its process.  The kernel zeroes it in a child of fork, however that was
// made: the child has neither the threads nor the timers, and makes its own when it needs them.

#ifndef KEVENT_ADAPTERS_THREADS_PROCESS_H_
#define KEVENT_ADAPTERS_THREADS_PROCESS_H_

#include <atomic>

#include "adapters/threads/callbacks.h"
#include "adapters/threads/pool.h"

namespace kevent::threads {

class Process {
 public:
  // nullptr if there is no memory, or a kernel that does not zero it in children.
  static Process* This();
  // The same, if there has been a call before.
  static Process* Existing();

  // Returns the pool with these attributes, or nullptr if there can be no more.
  Pool* PoolWith(const Attributes& attributes);
  Callbacks& callbacks() { return callbacks_; }
  // Differs in a child of fork.
  int id() const { return id_.load(std::memory_order_relaxed); }

 private:
  static constexpr unsigned kPools = 16;

  std::atomic<int> id_;
  Lock lock_;
  Pool pools_[kPools] ABSL_GUARDED_BY(lock_);
  Callbacks callbacks_;
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_PROCESS_H_
