// SPDX-License-Identifier: MIT
//
// Threads that block: as many as are busy, and no more than the C library has by
// default.  One that had nothing to do for a second goes, but not the last one
// while there may be something to come.

#include <cerrno>

#include "core/aio/engine.h"
#include "core/base/timespec.h"

namespace kevent::core {

// One more, of as many as there may be: 0 or EAGAIN.
int AioEngine::AddThread() {
  const auto run = [](void* engine) { static_cast<AioEngine*>(engine)->RunPool(); };
  if (sys::StartThread(run, this, "kevent-aio") < 0) return EAGAIN;
  ++threads_;
  return 0;
}

void AioEngine::WakePool() {
  uint32_t idle = idle_;
  for (uint32_t link = for_pool_.first; link != 0;
       link = Operations::At(link - 1).next.load(std::memory_order_relaxed)) {
    if (idle != 0) {
      --idle;
      bell_.fetch_add(1, std::memory_order_seq_cst);
      sys::FutexWake(&bell_);
    } else if (threads_ == kMaxThreads || AddThread() != 0) {
      return;
    }
  }
}

// Whether there may be something to do for it later, when perhaps no thread can be
// made.
bool AioEngine::MayBeNeeded() const {
  return backend_ == Backend::kRing ? blocking_ != 0 : any_in_flight();
}

// False when there was nothing to do for long.
bool AioEngine::AwaitWork(uint32_t* number) {
  bool last_look = false;
  for (;;) {
    uint32_t seen;
    {
      const Locked locked(lock_);
      const uint32_t link = TakeHanded(&for_pool_);
      const bool may_go = threads_ > 1 || !MayBeNeeded();
      if (link != 0 || (last_look && may_go)) {
        *number = link - 1;
        if (link == 0) --threads_;
        return link != 0;
      }
      ++idle_;
      seen = bell_.load(std::memory_order_seq_cst);
    }
    Nanoseconds now = 0;
    sys::Now(CLOCK_MONOTONIC, &now);
    const timespec end = ToTimespec(now + kNanosecondsPerSecond);
    last_look = sys::FutexWait(&bell_, seen, &end) == -ETIMEDOUT;
    const Locked locked(lock_);
    --idle_;
  }
}

// The ring's thread has nothing to do there any more, but may be the only one.
bool AioEngine::JoinPool() {
  const Locked locked(lock_);
  if (threads_ != 0 || !MayBeNeeded()) return false;
  ++threads_;
  return true;
}

void AioEngine::RunPool() {
  uint32_t number;
  while (AwaitWork(&number)) Ended(number, sys::Perform(Rest(Operations::At(number))));
}

}  // namespace kevent::core
