// SPDX-License-Identifier: MIT
//
// The making of the engine's threads, and the choice between the ring and the pool, by the calls
// that begin operations.  No lock that close or the end of an operation waits for is held
// meanwhile.
//
// Threads that end operations make threads in one case: when operations that were for the ring are
// for the pool, since the program has closed the ring's descriptor by a system call that the
// library does not see, or since the kernel had no memory for the ring's bell.

#include <algorithm>
#include <cerrno>

#include "core/aio/engine.h"
#include "core/descriptors/kept_table.h"
#include "core/system/system.h"
#include "core/system/thread_name.h"

namespace kevent::core {

// ---- What is lacking --------------------------------------------------------------

bool AioEngine::IsForRing(uint32_t number) const {
  return backend_ == Backend::kRing && !Operations::At(number).blocks;
}

// True if the ring may end the operation in vain, which is then done in a thread.
bool AioEngine::IsUncertain(uint32_t number) const {
  const sys::Transfer& transfer = Operations::At(number).transfer;
  return IsForRing(number) && transfer.kind == sys::Transfer::Kind::kRead &&
         transfer.offset != sys::Transfer::kStream && sys::ReadsMayEndInVain();
}

// The number of threads of the pool that the operations in flight may take at the same time.  One
// is enough for all that the ring may end in vain: reads of a disk's files, which end.  Of the
// operations of a lost ring, the kernel still does those that it has.  The number may be larger
// than that of the threads that there may be.
uint32_t AioEngine::ThreadsWanted() const {
  uint32_t wanted = files_.threads_wanted() + (uncertain_ != 0 ? 1 : 0);
  if (ring_is_lost_) {
    const uint32_t were_for_ring = in_flight_.load(std::memory_order_relaxed) - files_.pooled();
    wanted += were_for_ring - std::min(were_for_ring, in_kernel_);
  }
  return wanted;
}

// Returns the first part that is missing for the operation, and that must be there before it begins
// or waits for others: when these have ended, perhaps no thread can be made.
AioEngine::Lack AioEngine::LackOf(uint32_t number) const {
  if (IsToldByThread(number) && !telling_thread_.is_running()) return Lack::kTellingThread;
  bool one_more;
  if (IsForRing(number)) {
    if (!ring_thread_.is_running()) return Lack::kRingThread;
    one_more = uncertain_ == 0 && IsUncertain(number);
  } else {
    one_more = files_.AddsToWanted(Operations::At(number));
  }
  if (one_more && !pool_.Cover(ThreadsWanted() + 1)) return Lack::kPoolThread;
  return Lack::kNothing;
}

// Returns 0 if another look may find that nothing is lacking any more, or EAGAIN.
int AioEngine::Supply(Lack lack, int loaded) {
  const Locked staffing(staffing_);
  switch (lack) {
    case Lack::kBackend:
      return Choose(loaded);
    case Lack::kRingThread:
      return HasRing() ? StartRing() : Choose(loaded);
    case Lack::kTellingThread:
      return StartTelling();
    case Lack::kPoolThread: {
      // Other threads may have made some meanwhile.
      {
        const Locked locked(lock_);
        if (pool_.Cover(ThreadsWanted() + 1)) return 0;
      }
      return AddThread();
    }
    case Lack::kNothing:
      break;
  }
  return 0;
}

// Chooses the ring or the pool, when the first operation comes that finds what the choice takes.
// Returns 0 or EAGAIN, aio_read's error if anything is lacking.
int AioEngine::Choose(int loaded) {
  {
    const Locked locked(lock_);
    if (backend_ != Backend::kUnknown) return 0;
  }
  switch (loaded == 0 ? OpenRing() : loaded) {
    case 0:
      for (;;) {
        {
          const Locked locked(lock_);
          // An operation that waits for one of the pool's now is for the ring later, when perhaps
          // no thread can be made.
          const bool any_for_ring = in_flight_.load(std::memory_order_relaxed) != blocking_;
          if (!any_for_ring || ring_thread_.is_running()) {
            backend_ = Backend::kRing;
            return 0;
          }
        }
        if (StartRing() != 0) return EAGAIN;
      }
    case -EAGAIN:
    case -EMFILE:
    case -ENFILE:
      return EAGAIN;  // a descriptor may be there another time
    case -ENOMEM:
      // Memory may be there another time as well; but if locked memory is limited (before Linux
      // 5.12), it may never be.
      return 0;
    default: {
      const Locked locked(lock_);
      backend_ = Backend::kPool;
      return 0;
    }
  }
}

// ---- Threads ----------------------------------------------------------------------

// Makes a thread of which there is one: 0 or EAGAIN.
template <auto kRun>
int AioEngine::StartOne(SingleThread* thread, const char* name) {
  {
    const Locked locked(lock_);
    if (!thread->Claim()) return 0;
  }
  const bool made = StartThread<kRun>(this, name) >= 0;
  const Locked locked(lock_);
  thread->SetMade(made);
  return made ? 0 : EAGAIN;
}

// Starts the ring's thread: 0 or EAGAIN.
int AioEngine::StartRing() { return StartOne<&AioEngine::RunRing>(&ring_thread_, "kevent-ring"); }

int AioEngine::StartTelling() {
  return StartOne<&AioEngine::RunTelling>(&telling_thread_, sys::kTellingThread);
}

void AioEngine::RunAddedThread() {
  {
    const Locked locked(lock_);
    pool_.AddBegun();
  }
  RunPool();
}

// Makes one more thread of the pool: 0 or EAGAIN.
int AioEngine::AddThread() {
  if (StartThread<&AioEngine::RunAddedThread>(this, "kevent-aio") < 0) return EAGAIN;
  const Locked locked(lock_);
  pool_.AddMade();
  return 0;
}

// ---- Operations for the pool that were for the ring ---------------------------------

// True if the pool has fewer threads than it should have, or the ring's thread sleeps through
// operations that were handed over to it.
bool AioEngine::IsShort() const { return HasUnrung() || !pool_.Cover(ThreadsWanted()); }

// Makes the threads that are lacking, for which the operations have not waited.  If none can be
// made, the next call that begins an operation tries again, and the ring's thread, if there is one
// and it hears the bell, does each second.  The bell that was not heard is rung again for each
// thread: once the pool has one, operations that the kernel has no bell for are for the pool.
void AioEngine::StaffUp() {
  const Locked staffing(staffing_);
  for (;;) {
    {
      const Locked locked(lock_);
      if (HasUnrung()) RingBell();
      if (!IsShort()) return;
    }
    if (AddThread() == 0) continue;
    const Locked locked(lock_);
    RingBell();
    return;
  }
}

}  // namespace kevent::core
