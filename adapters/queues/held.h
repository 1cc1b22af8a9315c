// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_QUEUES_HELD_H_
#define KEVENT_ADAPTERS_QUEUES_HELD_H_

#include <absl/base/thread_annotations.h>
#include <pthread.h>

#include "core/base/lock.h"

namespace kevent::queues {

// Holds a lock.  A thread is not cancelled meanwhile: some of the C library's calls that are made
// under it, as read, are cancellation points, and the calls of this library are not.
class ABSL_SCOPED_LOCKABLE Held {
 public:
  explicit Held(core::Lock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock) : lock_(lock) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
    lock_.Acquire();
  }
  ~Held() ABSL_UNLOCK_FUNCTION() {
    lock_.Release();
    pthread_setcancelstate(before_, nullptr);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  core::Lock& lock_;
  int before_;
};

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_HELD_H_
