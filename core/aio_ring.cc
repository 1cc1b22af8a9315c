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
  return 0;
}

// What wakes the thread, which sleeps in the ring, is an operation that does
// nothing.  It ends in the call itself, so any thread may submit it.
void AioEngine::RingBell() {
  if (!asleep_) return;
  asleep_ = false;
  sys::RingAdd({}, 0);
  sys::RingSubmit();
}

// Under the lock, so that close(2), which takes it, finds an operation either
// unstarted or with the kernel, which holds the file then.
void AioEngine::SubmitHanded() {
  while (const uint32_t link = TakeHanded()) {
    const sys::Transfer transfer = Rest(Operations::At(link - 1));
    while (!sys::RingAdd(transfer, link)) sys::RingSubmit();
  }
  sys::RingSubmit();
}

// A worker of the kernel was interrupted; a call of the C library's would have
// been made again.
void AioEngine::Again(uint32_t number) {
  const Locked locked(lock_);
  unstarted_.fetch_add(1, std::memory_order_relaxed);
  handed_.Append(number);
}

void AioEngine::RunRing() {
  constexpr unsigned kBatch = 64;
  sys::RingResult results[kBatch];
  for (;;) {
    {
      const Locked locked(lock_);
      SubmitHanded();
      asleep_ = true;
    }
    const unsigned count = sys::RingTake(results, kBatch);
    {
      const Locked locked(lock_);
      asleep_ = false;
    }
    for (unsigned i = 0; i < count; ++i) {
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
