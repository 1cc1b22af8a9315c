// SPDX-License-Identifier: MIT
//
// The thread that owns the io_uring.

#include <cerrno>

#include "core/aio/engine.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

// The token of an operation is its number plus one.
constexpr uint64_t kBell = 0;

// The time between two looks of a thread that cannot sleep in the ring.
constexpr timespec kSlice = {0, 1'000'000};

}  // namespace

// True if the ring is open for the calling thread.  Without a thread, the ring may be of another
// table of descriptors, which was the process's before (Process::TakesTable), or the program may
// have closed its descriptor by a system call that the library does not see; there is nothing in it
// then, and it is forgotten.
bool AioEngine::HasRing() {
  int ring;
  {
    const Locked locked(lock_);
    if (!ring_is_open_) return false;
    if (!ring_thread_.is_absent()) return true;
    ring = ring_;
  }
  if (OwnsDescriptor(ring, 0, kRoleProcess)) return true;
  const Locked locked(lock_);
  ring_is_open_ = false;
  if (backend_ == Backend::kRing) backend_ = Backend::kUnknown;
  Registry::Change(ring, Registration::Internal(0, kRoleProcess), {});
  sys::ForgetRing(sys::Ring::kOperations);
  return false;
}

// Opens the ring: 0 or a negative errno.
int AioEngine::OpenRing() {
  if (HasRing()) return 0;
  const int fd =
      AdoptDescriptor(0, kRoleProcess, [] { return sys::OpenRing(sys::Ring::kOperations); });
  if (fd < 0) return fd;
  sys::RingMoved(sys::Ring::kOperations, fd);
  const Locked locked(lock_);
  ring_ = fd;
  ring_is_open_ = true;
  return 0;
}

// Wakes the ring's thread, which sleeps in the ring, by an operation that does nothing.  That
// operation ends in the call itself, so any thread may submit it.
void AioEngine::RingBell() {
  if (!asleep_) return;
  sys::RingAdd({}, kBell);
  const int result = sys::RingSubmit();
  if (result == -EAGAIN) return LeaveToPool();
  asleep_ = unrung_ = false;
  if (result < 0) LoseRing();
}

// The kernel has no memory for the bell: operations that the ring's thread sleeps through are for
// the pool; if that has no thread either, the next call that begins an operation rings again, and
// so does a thread that ends one (StaffUp).
void AioEngine::LeaveToPool() {
  uint64_t tokens[sys::kRingEntries];
  sys::RingTakeOut(tokens);
  unrung_ = pool_.count() == 0;
  if (unrung_) return;
  while (const uint32_t link = for_ring_.Take()) {
    Operations::At(link - 1).blocks = true;
    ++blocking_;
    files_.MarkPooled(link - 1);
    for_pool_.Append(link - 1);
  }
  WakePool();
}

// True if the ring's thread sleeps through operations that were handed over to it.
bool AioEngine::HasUnrung() const { return unrung_ && for_ring_.first != 0; }

// The program has closed the ring's descriptor by a system call that the library does not see, and
// the number may be a stranger's.  The ring itself lives as long as its pages are mapped:
// operations that the kernel has go on, all others are for the pool.
void AioEngine::LoseRing() {
  if (backend_ != Backend::kRing) return;
  Registry::Change(ring_, Registration::Internal(0, kRoleProcess), {});
  backend_ = Backend::kPool;
  ring_is_lost_ = true;
  for_pool_.Append(for_ring_);
  for_ring_ = {};
  WakePool();
}

// Puts an operation back that the kernel has not taken yet, or will not take.  If it has lost its
// descriptor meanwhile, no other thread does it either.
void AioEngine::PutBack(uint32_t number) {
  --in_kernel_;
  Operation& operation = Operations::At(number);
  operation.given_up |= operation.file_lost;
  (IsForRing(number) ? for_ring_ : for_pool_).Append(number);
}

// Takes operations that were handed over, as many as the ring has room for; false if there is none.
bool AioEngine::FillRing() {
  unsigned count = 0;
  for (; count < kRingBatch; ++count) {
    const uint32_t link = TakeHanded(&for_ring_);
    if (link == 0) break;
    ++in_kernel_;
    if (!sys::RingAdd(Rest(Operations::At(link - 1)), link)) {
      PutBack(link - 1);
      break;
    }
  }
  return count != 0;
}

// Takes back operations that the kernel has not taken, which have not begun, and puts them before
// those that were handed over since.  Left in the ring, they would go on with their descriptor's
// number after a close.
void AioEngine::EmptyRing() {
  const IoOrdering::Runnable newer = for_ring_;
  for_ring_ = {};
  uint64_t tokens[sys::kRingEntries];
  const unsigned left = sys::RingTakeOut(tokens);
  for (unsigned i = 0; i < left; ++i) {
    if (tokens[i] != kBell) PutBack(static_cast<uint32_t>(tokens[i]) - 1);
  }
  for_ring_.Append(newer);
}

// True if the operation goes on.  If a worker of the kernel was interrupted, the C library would
// have made the call again: by the descriptor, so the operation goes on only while that is the same
// file.  Nor does the kernel wait for the remaining bytes when a stream takes a part at once.
bool AioEngine::GoesOn(Operation* operation, int64_t* result) {
  const sys::Transfer rest = Rest(*operation);
  const bool in_part = rest.kind == sys::Transfer::Kind::kWrite &&
                       rest.offset == sys::Transfer::kStream && *result > 0 &&
                       static_cast<size_t>(*result) < rest.bytes;
  if (*result != -EINTR && !in_part) return false;
  if (operation->given_up || operation->file_lost) {
    if (*result == -EINTR) *result = -ECANCELED;
    return false;
  }
  if (in_part) operation->moved += static_cast<size_t>(*result);
  operation->begun = true;
  return true;
}

// True if a read has ended with nothing before the file does: Linux 5.9 and 5.10 answer so where
// they would wait.  Such a read is for a thread that blocks.
bool AioEngine::EndedInVain(const Operation& operation, int64_t result) {
  const sys::Transfer rest = Rest(operation);
  if (result != 0 || rest.kind != sys::Transfer::Kind::kRead || rest.bytes == 0) return false;
  if (rest.offset == sys::Transfer::kStream || operation.given_up || operation.file_lost) {
    return false;
  }
  return sys::ReadsMayEndInVain() && sys::EndsBefore(rest);
}

// Ends operations that have completed: all of them under the lock at once, which callers wait for
// meanwhile.  The notifications follow after that.
void AioEngine::Take(const sys::RingResult* completed, int count) {
  IoOrdering::Runnable done;
  IoOrdering::Runnable next;
  {
    Notifier notifier;
    const Locked locked(lock_);
    for (int i = 0; i < count; ++i) {
      if (completed[i].token == kBell) continue;
      const auto number = static_cast<uint32_t>(completed[i].token) - 1;
      Operation& operation = Operations::At(number);
      int64_t result = completed[i].result;
      const bool in_vain = EndedInVain(operation, result);
      if (in_vain) {
        operation.begun = operation.blocks = true;
        ++blocking_;
      }
      if (in_vain || GoesOn(&operation, &result)) {
        PutBack(number);
        if (!IsForRing(number)) WakePool();
        continue;
      }
      --in_kernel_;
      End(number, result, &notifier, &done, &next);
    }
  }
  TellAll(&done, next);
}

// True if there is something for the ring, or may be later, when perhaps no thread can be made.
bool AioEngine::RingMayBeNeeded() const {
  return in_flight_.load(std::memory_order_relaxed) != blocking_;
}

// Hands the operations to the kernel; returns how the thread may sleep in the ring then.
//
// The lock is free while the kernel takes them, which takes long for many.  A thread that must know
// that the kernel has every operation that has begun (close) takes the second lock after the first.
sys::Sleep AioEngine::Turn() {
  for (;;) {
    {
      const Locked locked(lock_);
      if (backend_ != Backend::kRing) return sys::Sleep::kNot;
      if (!FillRing()) {
        asleep_ = true;
        // The thread sleeps for ever only while the kernel owes something: an operation that waits
        // for one of the pool's may be taken back, and no thread rings then.
        return in_kernel_ != 0 && !IsShort() ? sys::Sleep::kUntilSomething : sys::Sleep::kForAWhile;
      }
      submitting_.Acquire();
    }
    const int result = sys::RingSubmit();
    submitting_.Release();
    if (result == 0) continue;
    const Locked locked(lock_);
    EmptyRing();
    if (result != -EAGAIN) LoseRing();
    return sys::Sleep::kNot;
  }
}

// False if nothing more is to come.  A thread that had nothing to do for a while ends: it must not
// keep a process that all other threads have left.  One that has begun before its maker has chosen
// the ring (Choose) awaits the choice, for which it counts as there.
bool AioEngine::MayGoOn(int count) {
  asleep_ = unrung_ = false;
  if (count == -ETIMEDOUT) return for_ring_.first != 0 || RingMayBeNeeded() || IsShort();
  if (count < 0) LoseRing();
  return backend_ != Backend::kPool || in_kernel_ != 0;
}

// False if the thread ends.  It looks for something to do and reports that it leaves under one
// lock: nothing is handed over to a thread that has left.
bool AioEngine::Woken(int count) {
  bool goes_on;
  bool is_short;
  {
    const Locked locked(lock_);
    goes_on = MayGoOn(count);
    if (!goes_on) ring_thread_.Leave();
    is_short = IsShort();
  }
  // For operations that were for the ring and are for the pool (core/aio/staffing.cc).
  if (is_short) StaffUp();
  return goes_on;
}

void AioEngine::RunRing() {
  sys::RingResult results[kRingBatch];
  int count;
  do {
    const sys::Sleep sleep = Turn();
    count = sys::RingTake(results, kRingBatch, sleep);
    if (count > 0) Take(results, count);
    if (count == 0 && sleep == sys::Sleep::kNot) sys::Poll(nullptr, 0, &kSlice, nullptr);
  } while (Woken(count));
  if (JoinPool()) RunPool();
}

}  // namespace kevent::core
