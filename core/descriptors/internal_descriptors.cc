// SPDX-License-Identifier: MIT

#include "core/descriptors/internal_descriptors.h"

#include <cerrno>

#include "core/descriptors/names.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/replacement.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

// A number with kRoleLeft is not closed under a call that is about to replace it: that call closes
// it if it fails.
void CloseRegistered(int fd, Registration registered) {
  // The number is registered as being closed until it is closed: dup2 waits for that.
  const Registration closing = Registration::Closing();
  const bool claimed = registered.is_left() ? Registry::ChangeUnreplaced(fd, registered, closing)
                                            : Registry::Change(fd, registered, closing);
  if (!claimed) return;
  if (sys::IsMarked(fd)) sys::Close(fd);
  Registry::Change(fd, closing, {});
}

// Gives up a number that was claimed, and may be a stranger's.
void GiveUp(int fd, const Registry::Claim& claim) {
  const Registration before = claim.before;
  const bool named = before.is_name() && IsNameOf(fd, before.queue());
  if (!named) Forget(before);
  if (named || !claim.being_replaced) {
    Registry::Change(fd, claim.after, named ? before : Registration());
  }
}

// Registers the number of a copy of a marked file, which the kernel has given; true if the copy is
// still there.
bool ClaimCopy(int fd, Registration as, Registry::Moment since) {
  const Registration left = Registration::Internal(as.queue(), kRoleLeft);
  const Registry::Claim claim = Registry::ClaimNew(fd, as, left, since);
  const bool named = claim.replaced && claim.before.is_name();
  if (claim.being_replaced || named || !sys::IsMarked(fd)) {
    GiveUp(fd, claim);
    return false;
  }
  // The descriptor that was registered before was closed by a system call that the library does not
  // see.
  Forget(claim.before);
  return true;
}

// Does what ClaimCopy does for a number that may have no place in the registry: 0, -EAGAIN or
// another negative errno.
int RegisterCopy(int fd, Registration as, Registry::Moment since) {
  if (const int error = Registry::Reserve(fd); error != 0) {
    if (sys::IsMarked(fd)) sys::Close(fd);
    return -error;
  }
  return ClaimCopy(fd, as, since) ? 0 : -EAGAIN;
}

// Registers a number that was made since that moment as new; true if it is the engine's alone.
bool ClaimMade(int fd, Registry::Moment since, uint32_t queue) {
  const Registration made = Registration::Internal(queue, kRoleNew);
  const Registration left = Registration::Internal(queue, kRoleMadeAndLeft);
  const Registry::Claim claim = Registry::ClaimNew(fd, made, left, since);
  if (claim.being_replaced || claim.replaced) {
    GiveUp(fd, claim);
    return false;
  }
  // The descriptor that was registered before was closed by a system call that the library does not
  // see.
  Forget(claim.before);
  return true;
}

// Closes a number that was claimed and has no mark yet.  It is marked before it is registered as
// being closed, so a file without a mark that is found there is the program's.
void CloseMade(int fd, uint32_t queue) {
  sys::Mark(fd);
  const Registration closing = Registration::Closing();
  if (!Registry::Change(fd, Registration::Internal(queue, kRoleNew), closing)) return;
  sys::Close(fd);
  Registry::Change(fd, closing, {});
}

int ReserveMade(int fd) {
  const int error = Registry::Reserve(fd);
  if (error != 0) sys::Close(fd);
  return -error;
}

}  // namespace

int MoveNewAway(int fd, uint32_t queue, uint16_t role) {
  if (const int error = sys::Mark(fd); error < 0) {
    CloseMade(fd, queue);
    return error;
  }
  const Registration made = Registration::Internal(queue, kRoleNew);
  const int high = CopyInternal(fd, queue, role);
  if (high >= 0) {
    CloseRegistered(fd, made);
    return high;
  }
  // There is no higher number, or none that could be registered: the descriptor stays where it is.
  Registry::Change(fd, made, Registration::Internal(queue, role));
  return fd;
}

int ClaimNew(int fd, Registry::Moment since, uint32_t queue) {
  if (const int error = ReserveMade(fd); error != 0) return error;
  return ClaimMade(fd, since, queue) ? 0 : -EAGAIN;
}

int AdoptFullPipe(uint32_t queue, uint16_t role) {
  for (;;) {
    int reader;
    int writer;
    int error;
    bool both;
    {
      const Making making;
      reader = sys::CreatePipe(&writer);
      if (reader < 0) return reader;
      error = ClaimNew(writer, making.since(), queue);
      both = error == 0 && sys::Write(writer, "", 1) == 1;
      if (error == 0) CloseMade(writer, queue);
      const int of_reader = ClaimNew(reader, making.since(), queue);
      if (of_reader == -EAGAIN) continue;
      if (of_reader < 0) return of_reader;
    }
    // A pipe without a byte is of no use.
    if (both) return MoveNewAway(reader, queue, role);
    CloseMade(reader, queue);
    if (error == 0) return -ENOMEM;
    if (error != -EAGAIN) return error;
  }
}

int CopyInternal(int fd, uint32_t queue, uint16_t role) {
  const Registration as = Registration::Internal(queue, role);
  for (int lowest = sys::LowestInternal();;) {
    const Taking taking;
    const Registry::Moment before = Registry::Now();
    const int copy = sys::DuplicateFrom(fd, lowest, true);
    if (copy == -EINVAL) return -EMFILE;  // no number from here on is to be given
    if (copy < 0) return copy;
    const int result = RegisterCopy(copy, as, before);
    if (result != -EAGAIN) return result == 0 ? copy : result;
    lowest = copy + 1;
  }
}

bool NameNew(int fd, Registry::Moment since, uint32_t queue) {
  return ClaimCopy(fd, Registration::Name(queue), since);
}

bool IsInternal(int fd) {
  const Registration found = Registry::Get(fd);
  if (!found.is_internal()) return false;
  if (!found.has_mark() || sys::IsMarked(fd)) return true;
  Registry::Change(fd, found, {});
  return false;
}

bool IsOpen(int fd) { return !IsInternal(fd) && sys::DescriptorFlags(fd) >= 0; }

bool OwnsDescriptor(int fd, uint32_t queue, uint16_t role) {
  return Registry::Get(fd).bits() == Registration::Internal(queue, role).bits() &&
         sys::IsMarked(fd);
}

void ReleaseDescriptor(int fd, uint32_t queue, uint16_t role) {
  CloseRegistered(fd, Registration::Internal(queue, role));
}

thread_local constinit unsigned Taking::depth_ = 0;

LettingPass::LettingPass() {
  if (!Taking::is_outermost()) return;
  constexpr uint64_t kSecond = 1'000'000'000;
  WaitDeadline deadline(kSecond);
  while (!Registry::NoneWaits() && !deadline.passed()) sys::Pause();
}

Replacement::Replacement(int target) : target_(target), found_(Registry::BeginReplacing(target)) {
  if (Registry::NoneIsMade()) return;
  Process::PrepareIfForked();
  AwaitMakers();
}

// A handler that left by siglongjmp would leave the count, for which makers wait.  A child of fork
// that was just prepared has forgotten that the number is to be replaced.
//
// Makers stand back only for calls that have waited for a while: a call that merely meets one maker
// would hold up the next one until this thread runs again, which takes long on a busy machine.
void Replacement::AwaitMakers() {
  constexpr int kLooks = 10;
  const SignalsBlocked blocked;
  WaitDeadline deadline;
  int looks = 0;
  do {
    if (++looks == kLooks) Registry::BeginWaiting();
    Registry::EndReplacing(target_, false);
    sys::Pause();
    found_ = Registry::BeginReplacing(target_);
  } while (!Registry::NoneIsMade() && !deadline.passed());
  if (looks >= kLooks) Registry::EndWaiting();
}

Replacement::~Replacement() {
  const Registration now = Registry::Get(target_);
  if (succeeded_ && now.is_left()) Registry::Change(target_, now, {});
  Registry::EndReplacing(target_, succeeded_);
  if (!now.is_left() || succeeded_) return;
  if (now.role() == kRoleMadeAndLeft) {
    const Registration made = Registration::Internal(now.queue(), kRoleNew);
    if (Registry::ChangeUnreplaced(target_, now, made)) CloseMade(target_, now.queue());
  } else if (MayCloseLeft(now.queue(), target_)) {
    CloseRegistered(target_, now);
  }
}

}  // namespace kevent::core
