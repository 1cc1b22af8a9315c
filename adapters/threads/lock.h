// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_THREADS_LOCK_H_
#define KEVENT_ADAPTERS_THREADS_LOCK_H_

#include <absl/base/thread_annotations.h>
#include <pthread.h>

namespace kevent::threads {

// Zeroed memory is an unlocked lock, so the child of a fork has one.  Whoever holds it neither
// allocates nor runs code of the program.
class ABSL_LOCKABLE Lock {
 public:
  void Acquire() ABSL_EXCLUSIVE_LOCK_FUNCTION() { pthread_mutex_lock(&mutex_); }
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

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_LOCK_H_
