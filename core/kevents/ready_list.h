// SPDX-License-Identifier: MIT
//
// The kevents that are ready, oldest first.
//
//   state            in the list  level_triggered
//   away             no           any
//   level-triggered  yes          true             ready for as long as its source says so
//   latched          yes          false            ready until it is delivered or taken back
//
//   away --Add(level_triggered)--> level-triggered     away --Add(!level_triggered)--> latched
//   level-triggered --Add(!level_triggered)--> latched; nothing makes the reverse step
//   each --Remove--> away
//
// Two counts say how many there are and how many of them are latched: of those the kernel
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
  // Adds the record at the end; if it is in the list, it stays in its place, and perhaps is
  // latched from now on.
  void Add(KeventTable& table, uint32_t number, bool level_triggered);
  void Remove(KeventTable& table, uint32_t number);

  unsigned size() const { return size_; }
  unsigned level_triggered() const { return size_ - latched_; }
  unsigned latched() const { return latched_; }

  // Links: numbers plus one, 0 at the end.
  uint32_t first() const { return first_; }
  uint32_t last() const { return last_; }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check(KeventTable& table) const;

 private:
  uint32_t first_;
  uint32_t last_;
  unsigned size_;
  unsigned latched_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_READY_LIST_H_
