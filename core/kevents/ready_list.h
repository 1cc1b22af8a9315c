// SPDX-License-Identifier: MIT
//
// The kevents that are ready, oldest first.
//
//   state       in the list  by_level
//   away        no           any
//   by level    yes          true      ready for as long as its source says so
//   by event    yes          false     ready until it is delivered or taken back
//
//   away --Add(by_level)--> by level     away --Add(!by_level)--> by event
//   by level --Add(!by_level)--> by event; nothing makes the reverse step
//   each --Remove--> away
//
// Two counts say how many there are and how many of them are by event: of those the kernel
// does not know, so the queue's descriptor has to be kept readable for them.
//
// All of it is guarded by the lock of the queue.  Zeroed memory is an empty list.

#ifndef KEVENT_CORE_KEVENTS_READY_LIST_H_
#define KEVENT_CORE_KEVENTS_READY_LIST_H_

#include <cstdint>

#include "core/kevents/kevent_table.h"

namespace kevent::core {

class ReadyList {
 public:
  // Adds the record at the end; if it is in the list, it stays in its place, and perhaps is by
  // event from now on.
  void Add(KeventTable& table, uint32_t number, bool by_level);
  void Remove(KeventTable& table, uint32_t number);

  unsigned size() const { return size_; }
  unsigned by_level() const { return size_ - by_event_; }
  unsigned by_event() const { return by_event_; }

  // Links: numbers plus one, 0 at the end.
  uint32_t first() const { return first_; }
  uint32_t last() const { return last_; }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check(KeventTable& table) const;

 private:
  uint32_t first_;
  uint32_t last_;
  unsigned size_;
  unsigned by_event_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_READY_LIST_H_
