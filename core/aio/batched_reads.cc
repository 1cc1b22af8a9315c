// SPDX-License-Identifier: MIT

#include "core/aio/batched_reads.h"

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {
namespace {

// For fewer reads a call each is cheaper than the ring (docs/performance.md).
constexpr unsigned kFewest = 12;

}  // namespace

void BatchedReads::AtOnce(const sys::Transfer* reads, unsigned count, int64_t* results) {
  if (count >= kFewest && Together(reads, count, results)) return;
  for (unsigned i = 0; i < count; ++i) results[i] = sys::ReadAtOnce(reads[i]);
}

// False if there is no ring, or none for this thread.
bool BatchedReads::Together(const sys::Transfer* reads, unsigned count, int64_t* results) {
  const int loaded = sys::LoadRing();
  if (loaded == -EAGAIN) return false;
  const SignalsBlocked blocked;
  if (!lock_.TryAcquire()) return false;
  const bool done = HasRing() && sys::ReadTogether(reads, count, results) == 0;
  if (state_ == State::kOpen && !done) {
    ReleaseDescriptor(ring_, 0, kRoleProcess);
    state_ = State::kNone;
  }
  lock_.Release();
  return done;
}

bool BatchedReads::HasRing() {
  if (state_ == State::kOpen) {
    // After the program has closed the number by a system call that the library does not see, or in
    // another table of descriptors, it may be a stranger's ring.
    if (OwnsDescriptor(ring_, 0, kRoleProcess)) return true;
    Registry::Change(ring_, Registration::Internal(0, kRoleProcess), {});
    sys::ForgetRing(sys::Ring::kReads);
    state_ = State::kUnknown;
  }
  if (state_ == State::kNone) return false;
  const int fd = AdoptDescriptor(0, kRoleProcess, [] { return sys::OpenRing(sys::Ring::kReads); });
  // A descriptor or memory may be there another time.
  if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -EAGAIN) return false;
  state_ = fd < 0 ? State::kNone : State::kOpen;
  if (fd < 0) return false;
  sys::RingMoved(sys::Ring::kReads, fd);
  ring_ = fd;
  return true;
}

}  // namespace kevent::core
