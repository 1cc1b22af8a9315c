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

// The operations that have completed into one queue.  Zeroed memory is an empty list.
class Completions {
 public:
  // Callable from any thread; async-signal-safe.
  void Post(uint32_t operation);
  bool any_posted() const { return posted_.load(std::memory_order_seq_cst) != 0; }

  // Counts the posted operations as ready.  This and all below but Clear need the queue's lock.
  void Harvest();
  unsigned count() const { return count_; }
  unsigned Deliver(unsigned max, ukevent* events);
  // Forgets all operations, when the last pin of a closed queue is dropped.  Async-signal-safe.
  void Clear();

 private:
  uint32_t TakeFirst();

  std::atomic<uint32_t> posted_;  // number plus one; the latest comes first
  uint32_t first_;                // number plus one; oldest first
  uint32_t last_;
  unsigned count_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_OPERATIONS_COMPLETIONS_H_
