// SPDX-License-Identifier: MIT
//
// The engine's lock.  It passes priority on to its holder, so that a collector of low priority
// cannot keep one of high priority waiting behind threads in between, and it can be made anew in
// the child of a fork.

#ifndef KEVENT_CORE_BASE_LOCK_H_
#define KEVENT_CORE_BASE_LOCK_H_

#include <absl/base/thread_annotations.h>
#include <pthread.h>

#include <atomic>

namespace kevent::core {

// Zeroed memory is an unlocked lock without priority inheritance; Init adds that.  Not
// async-signal-safe; no thread sleeps with it held.
class ABSL_LOCKABLE Lock {
 public:
  // Applies to locks that are made from now on.  To pass priority on, the C library tells the
  // kernel which thread holds a lock, and ends the process if the kernel knows no such thread: in
  // the child of a clone that the C library did not make, it has the parent's thread id.
  static void SetPassesPriority(bool passes) {
    s_passes_priority.store(passes, std::memory_order_relaxed);
  }

  void Init() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    const bool passes = s_passes_priority.load(std::memory_order_relaxed);
    pthread_mutexattr_setprotocol(&attributes, passes ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE);
    // A kernel without PI futexes answers ENOTSUP; the lock is then a plain one.
    if (pthread_mutex_init(&mutex_, &attributes) != 0) pthread_mutex_init(&mutex_, nullptr);
    pthread_mutexattr_destroy(&attributes);
  }

  void Acquire() ABSL_EXCLUSIVE_LOCK_FUNCTION() { pthread_mutex_lock(&mutex_); }
  // Async-signal-safe if no handler can interrupt the holder.
  bool TryAcquire() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    return pthread_mutex_trylock(&mutex_) == 0;
  }
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}
  void Release() ABSL_UNLOCK_FUNCTION() { pthread_mutex_unlock(&mutex_); }

 private:
  static inline constinit std::atomic<bool> s_passes_priority{true};

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

#endif  // KEVENT_CORE_BASE_LOCK_H_
