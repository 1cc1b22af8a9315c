// SPDX-License-Identifier: MIT
//
// The thread that owns the io_uring.

#include <cerrno>

#include "core/aio_engine.h"
#include "core/registry.h"
#include "core/system.h"

namespace kevent::core {

// 0 or a negative errno.
int AioEngine::OpenRing() {
  int fd = sys::OpenRing();
  if (fd < 0) return fd;
  fd = sys::MoveHigh(fd);
  sys::RingMoved(fd);
  if (const int error = Registry::Reserve(fd); error != 0) {
    sys::Close(fd);
    return -error;
  }
  Registry::Set(fd, Registration::Internal(0, kRoleProcess));
  ring_ = fd;
  return 0;
}

// What wakes the thread, which sleeps in the ring, is an operation that does
// nothing.  It ends in the call itself, so any thread may submit it.
void AioEngine::RingBell() {
  if (!asleep_) return;
  sys::RingAdd({}, 0);
  const int result = sys::RingSubmit();
  asleep_ = result == -EAGAIN;
  if (result < 0 && !asleep_) LoseRing();
}

// The program has closed its descriptor by a system call that we don't see, and
// the number may be a stranger's.  What the kernel has goes on as long as the
// thread sleeps in the ring; all else is for the pool.
void AioEngine::LoseRing() {
  if (backend_ != Backend::kRing) return;
  Registry::Take(ring_);
  backend_ = Backend::kPool;
  threads_ = 0;
  WakePool();
}

// Not yet, or not by the kernel.
void AioEngine::PutBack(uint32_t number) {
  Operations::At(number).in_ring.store(false, std::memory_order_relaxed);
  unstarted_.fetch_add(1, std::memory_order_relaxed);
  handed_.Append(number);
}

// Under the lock, so that close(2), which takes it, finds an operation either
// unstarted or with the kernel, which holds the file then.  What RingSubmit says.
int AioEngine::SubmitHanded() {
  int result;
  do {
    result = SubmitBatch();
  } while (result == 0 && handed_.first != 0);
  return result;
}

int AioEngine::SubmitBatch() {
  uint32_t added[kRingBatch];
  unsigned count = 0;
  for (; count < kRingBatch; ++count) {
    const uint32_t link = TakeHanded();
    if (link == 0) break;
    if (!sys::RingAdd(Rest(Operations::At(link - 1)), link)) {
      PutBack(link - 1);
      break;
    }
    Operations::At(link - 1).in_ring.store(true, std::memory_order_relaxed);
    added[count] = link - 1;
  }
  const int result = sys::RingSubmit();
  if (result == 0 || result == -EAGAIN) return result;
  for (unsigned i = 0; i < count; ++i) PutBack(added[i]);
  LoseRing();
  return result;
}

// A worker of the kernel was interrupted; a call of the C library's would have
// been made again.
void AioEngine::Again(uint32_t number) {
  const Locked locked(lock_);
  PutBack(number);
}

// What the kernel had when the last of the ring was gone, which has ended it.
void AioEngine::EndRing() {
  {
    const Locked locked(lock_);
    LoseRing();
  }
  for (uint32_t number = 0; const Operation* operation = Operations::Find(number); ++number) {
    bool had;
    {
      const Locked locked(lock_);
      had = operation->in_ring.load(std::memory_order_relaxed) &&
            operation->control.load(std::memory_order_relaxed) != nullptr;
    }
    if (had) Ended(number, -ECANCELED);
  }
}

void AioEngine::RunRing() {
  sys::RingResult results[kRingBatch];
  for (;;) {
    bool all;
    {
      const Locked locked(lock_);
      all = backend_ != Backend::kRing || SubmitHanded() != -EAGAIN;
      asleep_ = all;
    }
    const int count = sys::RingTake(results, kRingBatch, all);
    if (count < 0) return EndRing();
    if (count == 0 && !all) sys::Pause();  // the kernel has no memory
    {
      const Locked locked(lock_);
      asleep_ = false;
    }
    for (int i = 0; i < count; ++i) {
      if (results[i].token == 0) continue;
      const auto number = static_cast<uint32_t>(results[i].token) - 1;
      if (results[i].result == -EINTR) {
        Again(number);
      } else {
        Ended(number, results[i].result);
      }
    }
  }
}

}  // namespace kevent::core
