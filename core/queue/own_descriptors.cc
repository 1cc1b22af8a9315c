// SPDX-License-Identifier: MIT
//
// The descriptors that a queue has inside: making them, closing them, and moving
// them out of the way of a dup2.

#include <sys/epoll.h>

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/registry.h"
#include "core/kevents/event_set.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/system.h"

namespace kevent::core {

// Called with the last pin; async-signal-safe.
void Queue::CloseInternals() {
  doorbell_.Close();
  EventSet* const set = kevents();
  if (set != nullptr || doorbell_.has_left_a_number()) CloseOthers();
  if (set != nullptr) {
    // The records of operations are the process's, so they are given back here.  Giving back the
    // other parts of the set takes locks, which the thread may hold if a handler runs this.
    set->completions().Clear();
  }
  const bool has_stock = stock_.size() != 0;
  lifetime_.InternalsAreClosed();
  if (set != nullptr || has_stock) Queues::HasUncleared();
}

// Closes the descriptors of kevents, and numbers that were left open.
void Queue::CloseOthers() {
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (!found.has_mark() || found.queue() != number_ || found.is_of_process()) continue;
    ReleaseDescriptor(fd, number_, found.role());
  }
}

int Queue::MoveInternal(int fd, uint16_t role) {
  if (!doorbell_.CanMove(role)) return EBUSY;
  if (!Pin()) return EAGAIN;
  int error = EAGAIN;
  if (lock_.TryAcquire()) {
    error = MoveInternalLocked(fd, role);
    lock_.Release();
  }
  Unpin();
  return error;
}

bool Queue::MayCloseLeft(int fd) { return IsUnused(fd) || doorbell_.LeaveOpen(); }

bool Queue::IsUnused(int fd) {
  if (doorbell_.numbers_are_used() || !lock_.TryAcquire()) return false;
  const bool slept_on = sleepers_.LeaderSleepsOn(fd);
  lock_.Release();
  return !slept_on;
}

int Queue::MoveInternalLocked(int fd, uint16_t role) {
  const int error = doorbell_.Move(fd, role, [this, fd](int to) {
    EventSet* const set = kevents();
    return set == nullptr ? 0 : set->MoveEpoll(fd, to);
  });
  // The leader moves on to the new number.
  if (error == 0 && sleepers_.LeaderSleepsOn(fd)) doorbell_.Notify();
  return error;
}

}  // namespace kevent::core
