// SPDX-License-Identifier: MIT
//
// The engine's lock: it passes priority on to its holder, so that a collector
// of low priority cannot keep one of high priority waiting behind strangers,
// and it can be made anew in the child of a fork.

#ifndef KEVENT_CORE_LOCK_H_
#define KEVENT_CORE_LOCK_H_

#include <absl/base/thread_annotations.h>
#include <pthread.h>

namespace kevent::core {

// Zeroed memory is an unlocked lock without priority inheritance; Init adds it.
// Not async-signal-safe, never held asleep.
class ABSL_LOCKABLE Lock {
 public:
  void Init() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    // ENOTSUP where the kernel has no PI futexes: then it is a plain lock.
    if (pthread_mutex_init(&mutex_, &attributes) != 0) pthread_mutex_init(&mutex_, nullptr);
    pthread_mutexattr_destroy(&attributes);
  }

  void Acquire() ABSL_EXCLUSIVE_LOCK_FUNCTION() { pthread_mutex_lock(&mutex_); }
  // Async-signal-safe while no handler can interrupt the holder.
  bool TryAcquire() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    return pthread_mutex_trylock(&mutex_) == 0;
  }
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}
  void Release() ABSL_UNLOCK_FUNCTION() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_;
};

class ABSL_SCOPED_LOCKABLE Locked {
 public:
  explicit Locked(Lock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock) : lock_(lock) { lock_.Acquire(); }
  ~Locked() ABSL_UNLOCK_FUNCTION() { lock_.Release(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Lock& lock_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_LOCK_H_
