// SPDX-License-Identifier: MIT
//
// The descriptors that a queue has inside: making them, closing them, and moving
// them out of the way of a dup2.

#include <sys/epoll.h>

#include <cerrno>

#include "core/descriptors.h"
#include "core/internal_descriptors.h"
#include "core/kevent_set.h"
#include "core/process.h"
#include "core/queue.h"
#include "core/registry.h"
#include "core/system.h"

namespace kevent::core {

// The number that a descriptor was adopted under, or the negative errno that it is.
int Queue::AddInternal(int adopted, std::atomic<int>* number) {
  if (adopted < 0) return -adopted;
  number->store(adopted + 1, std::memory_order_release);
  return 0;
}

void Queue::CloseInternal(std::atomic<int>* number, uint16_t role) {
  const int fd = number->exchange(0, std::memory_order_acq_rel) - 1;
  if (fd >= 0) ReleaseDescriptor(fd, number_, role);
}

// By the last pin; async-signal-safe.
void Queue::CloseInternals() {
  const uint32_t count = axis_count_.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) CloseSource(static_cast<uint8_t>(i));
  CloseInternal(&always_ready_, kRoleAlwaysReady);
  CloseInternal(&epoll_, kRoleEpoll);
  // A call of dup2 closes itself, from here on, a number that it has left open.
  closed_numbers_.store(true, std::memory_order_seq_cst);
  KeventSet* const set = kevents();
  if (set != nullptr || left_a_number_.load(std::memory_order_seq_cst)) CloseOthers();
  if (set != nullptr) {
    // The records of operations are the process's.  All else that the set has takes
    // locks to be given back, which this call may have been interrupted in.
    set->completions().Clear();
  }
  lifetime_.InternalsAreClosed();
  if (set != nullptr) Process::HasUncleared();
}

// Those of kevents, and numbers that were left open.
void Queue::CloseOthers() {
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (!found.has_mark() || found.queue() != number_ || found.role() == kRoleProcess) continue;
    ReleaseDescriptor(fd, number_, found.role());
  }
}

bool Queue::Owns(int fd, uint16_t role) const { return OwnsDescriptor(fd, number_, role); }

bool Queue::OwnsEpoll() const { return Owns(epoll(), kRoleEpoll); }

void Queue::CloseSource(uint8_t index) {
  KernelTimer& timer = kernel_timers_[index];
  if (timer.kind.load(std::memory_order_acquire) != AxisKind::kCpuTime) {
    CloseInternal(&timer.source, index);
  } else if (const int alarm = timer.source.exchange(0, std::memory_order_acq_rel); alarm != 0) {
    sys::DeleteAlarm(alarm - 1);
    Process::alarm_thread().Unreserve();
  }
}

std::atomic<int>* Queue::NumberOf(uint16_t role) {
  switch (role) {
    case kRoleEpoll:
      return &epoll_;
    case kRoleAlwaysReady:
      return &always_ready_;
    default:
      return role < kMaxAxes ? &kernel_timers_[role].source : nullptr;
  }
}

int Queue::MoveInternal(int fd, uint16_t role) {
  if (NumberOf(role) == nullptr) return EBUSY;
  if (!Pin()) return EAGAIN;
  int error = EAGAIN;
  if (lock_.TryAcquire()) {
    error = MoveInternalLocked(fd, role);
    lock_.Release();
  }
  Unpin();
  return error;
}

bool Queue::MayCloseLeft(int fd) {
  if (IsUnused(fd)) return true;
  left_a_number_.store(true, std::memory_order_seq_cst);
  // The queue may have closed what was left before this one was.
  return closed_numbers_.load(std::memory_order_seq_cst);
}

bool Queue::IsUnused(int fd) {
  if (telling_.load(std::memory_order_seq_cst) != 0 || !lock_.TryAcquire()) return false;
  const bool slept_on = sleepers_.LeaderSleepsOn(fd);
  lock_.Release();
  return !slept_on;
}

// Leaves the old number open, registered as left.
int Queue::MoveInternalLocked(int fd, uint16_t role) {
  std::atomic<int>* const number = NumberOf(role);
  if (number->load(std::memory_order_acquire) != fd + 1) return EAGAIN;  // by another call
  // Another one rather than a copy: whoever closes a copy drops the table's lock.
  const int moved = role == kRoleAlwaysReady ? AdoptAlwaysReady() : CopyInternal(fd, number_, role);
  if (moved < 0) return EBUSY;
  // epoll knows its members by number as well: a timerfd is a member under the
  // new one before the old one goes, and so is the epoll where it is a member.
  int error = 0;
  if (role < kMaxAxes) error = -sys::EpollAdd(epoll(), moved, EPOLLIN);
  if (KeventSet* set = kevents(); role == kRoleEpoll && set != nullptr) {
    error = -set->MoveEpoll(fd, moved);
  }
  if (error != 0) {
    ReleaseDescriptor(moved, number_, role);
    return EBUSY;
  }
  number->store(moved + 1, std::memory_order_seq_cst);
  if (role == kMonotonicAxis) {
    memory_->monotonic_timerfd.store(moved + 1, std::memory_order_release);
  }
  Registry::Change(fd, Registration::Internal(number_, role),
                   Registration::Internal(number_, kRoleLeft));
  if (role != kRoleEpoll) sys::EpollDelete(epoll(), fd);
  if (role == kRoleAlwaysReady) TellAnnounced();
  // The leader is to sleep on the new number.
  if (sleepers_.LeaderSleepsOn(fd)) Notify();
  return 0;
}

// ---- Whose table of descriptors ----------------------------------------------

// A lock on a file (fcntl, F_SETLK) belongs to a table of descriptors, not to a
// process: Linux has it so that it can drop the locks of who closes a file
// (fs/locks.c, flc_owner).
//
// It is locked before it is registered for what it is: a child of clone(CLONE_FILES),
// which finds the registry as it was at some moment, tells from one that is not locked
// that its parent has ended.
int Queue::AdoptAlwaysReady() {
  const int fd = AdoptFullPipe(number_, kRolePrivate);
  if (fd < 0) return fd;
  sys::LockTable(fd);
  Registry::Change(fd, Registration::Internal(number_, kRolePrivate),
                   Registration::Internal(number_, kRoleAlwaysReady));
  return fd;
}

// In another table the number may be of another file, and one of the engine's, too:
// then it is not locked, or it is in the way.
Queue::Table Queue::CallersTable() const {
  for (;;) {
    const int fd = always_ready();
    const bool its = sys::InTableOf(fd);
    const bool told = Owns(fd, kRoleAlwaysReady) && sys::IsLocked(fd);
    if (always_ready() != fd) continue;
    if (!told) return Table::kUnknown;
    return its ? Table::kIts : Table::kAnother;
  }
}

}  // namespace kevent::core
