// SPDX-License-Identifier: MIT
//
// Reads of a list that do not block: by an io_uring in the calling thread, in one system call for
// all of them.  A read that would block there fails instead, so nothing is left in that thread that
// the kernel would end later (core/aio/engine.h).

#ifndef KEVENT_CORE_AIO_BATCHED_READS_H_
#define KEVENT_CORE_AIO_BATCHED_READS_H_

#include <cstdint>

#include "core/base/lock.h"
#include "core/system/system.h"

namespace kevent::core {

// Zeroed memory, ready for Init.
class BatchedReads {
 public:
  void Init() { lock_.Init(); }

  // Does each read as sys::ReadAtOnce does: files with places, and no O_DIRECT.  At most
  // sys::kReadsTogether.
  void AtOnce(const sys::Transfer* reads, unsigned count, int64_t* results);

 private:
  enum class State : uint8_t { kUnknown, kOpen, kNone };

  bool Together(const sys::Transfer* reads, unsigned count, int64_t* results);
  bool HasRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // Only held with signals blocked.  A thread that finds it held does without the ring.
  Lock lock_;
  State state_ ABSL_GUARDED_BY(lock_);
  int ring_ ABSL_GUARDED_BY(lock_);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_BATCHED_READS_H_
