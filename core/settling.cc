// SPDX-License-Identifier: MIT
//
// The end of a collection: the kernel is told what comes next.

#include <utility>

#include "core/kevent_set.h"
#include "core/queue.h"

namespace kevent::core {

// Leaves the descriptor readable if and only if something is due, and the
// kernel's timers no later than the earliest deadlines.  Whether something is
// due.
bool Queue::Settle(bool found_nothing, bool withdrawn) {
  KeventSet* const set = kevents();
  const bool taken = set != nullptr && set->TookAnnouncement();
  for (;;) {
    bool due = set != nullptr && set->kernel_does_not_know();
    for (uint32_t i = 0; i < axis_count(); ++i) {
      AxisIndex& axis = axes_[i];
      CleanTop(axis);
      const HeapEntry* const top = Top(axis);
      if (top != nullptr && top->deadline() <= axis.now) due = true;
    }
    if (due || doorbell_.exit_requested()) {
      if (taken) {
        doorbell_.AnnounceToStay();
      } else if (ReadableMembers() == 0) {
        doorbell_.Announce();
      }
      return due;
    }
    if (found_nothing) doorbell_.WithdrawInVain(EpollMembers());
    bool relaxed = std::exchange(withdrawn, false);
    if (doorbell_.Withdraw(EpollMembers())) relaxed = true;
    for (uint32_t i = 0; i < axis_count(); ++i) {
      const HeapEntry* const top = Top(axes_[i]);
      const Nanoseconds next = top == nullptr ? 0 : top->deadline();
      const auto index = static_cast<uint8_t>(i);
      if (doorbell_.Rearm(index, next, axes_[i].now, found_nothing)) relaxed = true;
    }
    // An armer may have relied on what was just withdrawn or put off: it has
    // marked its timer before it looked (model: INBOX_NOT_LOOKED_AT_AGAIN).
    if (!relaxed || !LookAgain()) return false;
    DrainInbox();
  }
}

// Whether something came that nobody has looked at yet.
bool Queue::LookAgain() {
  const KeventSet* const set = kevents();
  return !inbox_.empty() || (set != nullptr && set->anything_new()) || doorbell_.exit_requested();
}

// Makes a new edge, for what the caller does not get though there is room.
void Queue::AnnounceAnew() {
  doorbell_.Withdraw(EpollMembers());
  doorbell_.Announce();
}

unsigned Queue::ReadableMembers() const {
  unsigned count = doorbell_.IsAnnounced() ? 1 : 0;
  for (uint32_t i = 0; i < doorbell_.timer_count(); ++i) {
    if (doorbell_.timer(static_cast<uint8_t>(i)).IsReadable(axes_[i].now)) ++count;
  }
  return count;
}

Doorbell::Members Queue::EpollMembers() const {
  const KeventSet* const set = kevents();
  return set != nullptr && set->watches() ? Doorbell::Members::kOthers : Doorbell::Members::kOwn;
}

}  // namespace kevent::core
