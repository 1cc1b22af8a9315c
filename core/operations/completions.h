// SPDX-License-Identifier: MIT
//
// Operations that have completed into a queue and wait there to be collected.

#ifndef KEVENT_CORE_OPERATIONS_COMPLETIONS_H_
#define KEVENT_CORE_OPERATIONS_COMPLETIONS_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cstdint>

#include "core/operations/operation.h"

namespace kevent::core {

// What has completed into one queue.  Zeroed memory is an empty one.
class Completions {
 public:
  // From any thread; async-signal-safe.
  void Post(uint32_t operation);
  bool any_posted() const { return posted_.load(std::memory_order_seq_cst) != 0; }

  // All below but Clear under the queue's lock.  Takes what was posted into the count.
  void Harvest();
  unsigned count() const { return count_; }
  unsigned Deliver(unsigned max, ukevent* events);
  // Of a queue that was closed, by its last pin: forgets all.  Async-signal-safe.
  void Clear();

 private:
  uint32_t TakeFirst();

  std::atomic<uint32_t> posted_;  // plus one; the last comes first
  uint32_t first_;                // plus one; oldest first
  uint32_t last_;
  unsigned count_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_OPERATIONS_COMPLETIONS_H_
