// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_TRANSFERS_TRANSFERS_H_
#define KEVENT_CORE_TRANSFERS_TRANSFERS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/operations/operation.h"
#include "core/system/system.h"
#include "core/transfers/cached_parts.h"

namespace kevent::core {

// The state of a queue's transfers on sockets beside the records of the sockets, which are kevents
// of the type KEVENT_NAIO (core/sources/transfer_source.cc).  Zeroed memory has none.
//
// Links are numbers plus one; 0 ends a list.
class Transfers {
 public:
  // True if a socket is watched for transfers.  Callable from any thread.
  bool any() const { return sockets_.load(std::memory_order_seq_cst) != 0; }

  // The file was read ahead for which the operation waits.  Callable from any thread.
  void Resume(uint32_t operation) {
    std::atomic<uint32_t>& next = Operations::At(operation).next;
    uint32_t last = resumed_.load(std::memory_order_relaxed);
    do {
      next.store(last, std::memory_order_relaxed);
    } while (!resumed_.compare_exchange_weak(last, operation + 1, std::memory_order_seq_cst));
  }
  // Of a closed queue, whose line and whose reader both let go of the operation, in either order:
  // the last one frees the records.
  static void LetGo(uint32_t operation) {
    Operation& read_for = Operations::At(operation);
    if (read_for.missing.fetch_add(1, std::memory_order_acq_rel) == 0) return;
    Operations::Free(read_for.reader - 1);
    Operations::Free(operation);
  }
  // A number was closed that may be a socket with transfers.  Async-signal-safe.
  void LoseNumber(int fd) {
    bool noted = false;
    for (std::atomic<int>& place : lost_numbers_) {
      int none = 0;
      noted = noted || place.compare_exchange_strong(none, fd + 1, std::memory_order_seq_cst);
    }
    if (!noted) lost_more_.store(true, std::memory_order_seq_cst);
    lost_.store(true, std::memory_order_seq_cst);
  }
  // Calls visit(number) for the numbers that were closed since; true if there were more than that.
  template <typename Visit>
  bool TakeLost(Visit visit) {
    if (!lost_.exchange(false, std::memory_order_seq_cst)) return false;
    for (std::atomic<int>& place : lost_numbers_) {
      const int link = place.exchange(0, std::memory_order_seq_cst);
      if (link != 0) visit(link - 1);
    }
    return lost_more_.exchange(false, std::memory_order_seq_cst);
  }
  CachedParts& cached() { return cached_; }
  // Room for a part of a file, under the queue's lock: a collector's stack may be small.
  using Copy = std::array<char, 16384>;
  Copy& copy() { return copy_; }
  // A batch is full with little more than what a cache holds: the program sends while it is there
  // what it has just received, and neither its timers nor the threads that want the queue's lock
  // wait for all that there is.
  void BeginBatch() { moved_ = 0; }
  bool is_full() const { return moved_ >= kBatch; }
  void CountMoved(size_t bytes) {
    moved_ += bytes;
    usual_ = (usual_ * 7 + bytes) / 8;
  }
  // The sockets that fill a batch if they move as much as others have.
  unsigned together() const {
    return static_cast<unsigned>(std::clamp<size_t>(kBatch / (usual_ + 1), 1, kMostTogether));
  }
  // A line was left that could go on at once.  The kernel goes on reporting its socket, but by no
  // new edge (fs/eventpoll.c: a level-triggered member stays in the list of the ready).
  void LeaveUnfinished() { unfinished_ = true; }
  bool TakeUnfinished() { return std::exchange(unfinished_, false); }
  // A call has collected that does not sleep in a poll of the queue: its program may wait for edges
  // of the queue's descriptor, or its thread for edges alone.  Callable from any thread.
  void set_told_by_edges() { told_by_edges_.store(true, std::memory_order_relaxed); }
  bool told_by_edges() const { return told_by_edges_.load(std::memory_order_relaxed); }
  // True if there is something that no descriptor tells of.
  bool any_news() const {
    return resumed_.load(std::memory_order_seq_cst) != 0 || lost_.load(std::memory_order_seq_cst);
  }

 private:
  friend class EventSet;
  static constexpr size_t kBatch = size_t{256} << 10;
  static constexpr size_t kMostTogether = 64;

  std::atomic<uint32_t> sockets_;  // number of the records
  uint32_t first_socket_;          // record; linked by next_watch and same_before
  std::atomic<uint32_t> resumed_;  // readers that have ended, the latest first
  static constexpr unsigned kLostNumbers = 16;
  std::atomic<bool> lost_;
  std::atomic<bool> lost_more_;                  // than there are places for
  std::atomic<int> lost_numbers_[kLostNumbers];  // plus one
  bool unfinished_;
  std::atomic<bool> told_by_edges_;
  size_t moved_;  // bytes, in this batch
  size_t usual_;  // bytes that a line moves in its turn, of late
  CachedParts cached_;
  Copy copy_;
  std::atomic<uint32_t> to_read_;  // readers that are to begin; linked by line_after
};

// Has the engine of asynchronous I/O begin these readers.  No lock may be held.  Defined by
// core/aio/read_ahead.cc.
void BeginReadsAhead(uint32_t first);

}  // namespace kevent::core

#endif  // KEVENT_CORE_TRANSFERS_TRANSFERS_H_
