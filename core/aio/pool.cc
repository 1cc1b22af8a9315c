// SPDX-License-Identifier: MIT
//
// Threads that block: as many as are busy, and no more than the C library has by default.  A thread
// that had nothing to do for a second ends, but not the last one while something may be to come.

#include <algorithm>
#include <cerrno>

#include "core/aio/engine.h"
#include "core/base/timespec.h"

namespace kevent::core {

// Makes one more thread, which is free, within the limit: 0 or EAGAIN.
int AioEngine::AddThread() {
  const auto run = [](void* engine) { static_cast<AioEngine*>(engine)->RunPool(); };
  if (sys::StartThread(run, this, "kevent-aio") < 0) return EAGAIN;
  const Locked locked(lock_);
  ++threads_;
  ++idle_;
  return 0;
}

// Wakes as many free threads as there are operations for.
void AioEngine::WakePool() {
  const int32_t wanted = std::min(static_cast<int32_t>(for_pool_.count), idle_);
  for (int32_t i = 0; i < wanted; ++i) {
    bell_.fetch_add(1, std::memory_order_seq_cst);
    sys::FutexWake(&bell_);
  }
}

// True if there may be something to do for the pool later, when perhaps no thread can be made.
bool AioEngine::MayBeNeeded() const {
  return backend_ == Backend::kRing ? blocking_ != 0 : any_in_flight();
}

// Called by a thread that is counted as free.  False if there was nothing to do for long.
bool AioEngine::AwaitWork(uint32_t* number) {
  bool last_look = false;
  for (;;) {
    uint32_t seen;
    uint32_t link;
    bool goes = false;
    bool is_short = false;
    {
      const Locked locked(lock_);
      link = TakeHanded(&for_pool_);
      goes = link == 0 && last_look && (threads_ > 1 || !MayBeNeeded());
      if (link != 0 || goes) {
        --idle_;
        is_short = link != 0 && IsShort();
      }
      if (goes) --threads_;
      seen = bell_.load(std::memory_order_seq_cst);
    }
    if (goes) return false;
    if (link != 0) {
      // Threads are made before this operation begins, which may take for ever.
      if (is_short) StaffUp();
      *number = link - 1;
      return true;
    }
    Nanoseconds now = 0;
    sys::Now(CLOCK_MONOTONIC, &now);
    const timespec end = ToTimespec(now + kNanosecondsPerSecond);
    last_look = sys::FutexWait(&bell_, seen, &end) == -ETIMEDOUT;
  }
}

// The ring's thread has nothing to do there any more, but may be needed as the pool's only thread,
// or as one that is lacking.
bool AioEngine::JoinPool() {
  const Locked locked(lock_);
  if ((threads_ > 0 || !MayBeNeeded()) && !IsShort()) return false;
  ++threads_;
  ++idle_;
  return true;
}

void AioEngine::RunPool() {
  uint32_t number;
  while (AwaitWork(&number)) Ended(number, sys::Perform(Rest(Operations::At(number))));
}

}  // namespace kevent::core
