// SPDX-License-Identifier: MIT
//
// What the end of a collection (core/queue/collector.h) asks of the queue.

#include "core/kevents/event_set.h"
#include "core/queue/queue.h"

namespace kevent::core {

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
  lock_.AssertHeld();
  unsigned count = doorbell_.IsAnnounced() ? 1 : 0;
  for (uint32_t i = 0; i < doorbell_.timer_count(); ++i) {
    const auto axis = static_cast<uint8_t>(i);
    if (doorbell_.timer(axis).IsReadable(index_.now(axis))) ++count;
  }
  return count;
}

Doorbell::Members Queue::EpollMembers() const {
  const KeventSet* const set = kevents();
  return set != nullptr && set->watches() ? Doorbell::Members::kOthers : Doorbell::Members::kOwn;
}

}  // namespace kevent::core
