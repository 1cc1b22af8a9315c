// SPDX-License-Identifier: MIT
//
// Threads that block.  A thread that had nothing to do for a second ends if there are more than are
// wanted (core/aio/staff.h).

#include <algorithm>
#include <cerrno>

#include "core/aio/engine.h"
#include "core/base/timespec.h"
#include "core/descriptors/internal_descriptors.h"

namespace kevent::core {

// Wakes as many free threads as there are operations for.
void AioEngine::WakePool() {
  const uint32_t wanted = std::min(for_pool_.count, pool_.idle());
  for (uint32_t i = 0; i < wanted; ++i) {
    bell_.fetch_add(1, std::memory_order_seq_cst);
    sys::FutexWake(&bell_);
  }
}

// Called by a thread that is counted as free.  False if there was nothing to do for long.
bool AioEngine::AwaitWork(uint32_t* number) {
  bool last_look = false;
  for (;;) {
    uint32_t seen;
    {
      const Locked locked(lock_);
      const uint32_t link = TakeHanded(&for_pool_);
      if (link != 0) {
        pool_.TakeWork();
        *number = link - 1;
        return true;
      }
      if (last_look && pool_.count() > ThreadsWanted()) {
        pool_.Leave();
        return false;
      }
      seen = bell_.load(std::memory_order_seq_cst);
    }
    const timespec end = ToTimespec(sys::MonotonicNow() + kNanosecondsPerSecond);
    last_look = sys::FutexWait(&bell_, seen, &end) == -ETIMEDOUT;
  }
}

// The ring's thread has nothing to do there any more, but may be one that the pool lacks.
bool AioEngine::JoinPool() {
  const Locked locked(lock_);
  if (!IsShort()) return false;
  pool_.Join();
  return true;
}

// A file that is read ahead may have been closed with its queue: the number may be a stranger's.
int64_t AioEngine::Do(const Operation& operation) {
  const bool is_lost = operation.transfer.kind == sys::Transfer::Kind::kReadAhead &&
                       !OwnsDescriptor(operation.transfer.fd, operation.queue, kRoleSource);
  return is_lost ? -ECANCELED : sys::Perform(Rest(operation));
}

void AioEngine::RunPool() {
  uint32_t number;
  while (AwaitWork(&number)) {
    while (const uint32_t next = Ended(number, Do(Operations::At(number)))) {
      number = next - 1;
    }
  }
}

}  // namespace kevent::core
