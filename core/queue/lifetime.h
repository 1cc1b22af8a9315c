// SPDX-License-Identifier: MIT
//
// The life of a queue in a queue object.
//
// A queue object is never unmapped, and is used again: a call may reach it late.  During a call the
// descriptors that the queue has inside, its internals, have to stay what they are, so the call
// pins the queue.  The program refers to a queue by descriptors, its names, of which the last that
// is closed closes the queue.
//
//   state     open  pins  names  internals
//   unused    no    0     0      closed     zeroed memory, also in the child of a fork
//   opening   no    0     0      open       one thread makes the internals
//   open      yes   any   any    open       it gets its first name once it is open
//   closing   no    1..   0      open       calls that had pinned it come to their end
//   emptying  no    0     0      open       the thread that held the last pin closes the internals
//
//   unused --BeginOpening--> opening --FinishOpening--> open --Close--> closing
//   closing --Unpin, the last--> emptying --InternalsAreClosed--> unused
//   opening --InternalsAreClosed--> unused     when one of them could not be made
//
// All functions are lock-free and async-signal-safe.  Any thread may call those of an open queue;
// one thread opens it, under the lock of the process.

#ifndef KEVENT_CORE_QUEUE_LIFETIME_H_
#define KEVENT_CORE_QUEUE_LIFETIME_H_

#include <atomic>
#include <cstdint>

#include "core/base/invariant.h"
#include "core/base/seq_cst.h"

namespace kevent::core {

// Zeroed memory is unused.
class Lifetime {
 public:
  // ---- Opening ----

  void BeginOpening() { internals_open_.store(true, std::memory_order_relaxed); }
  void FinishOpening() {
    incarnation_.fetch_add(1, std::memory_order_relaxed);
    calls_.exchange(kOpen);
    CheckInDebugBuild(*this);
  }

  bool open() const { return (calls_.load() & kOpen) != 0; }
  // Counts the queues that the object has been; while a queue is pinned the count does not change.
  uint32_t incarnation() const { return incarnation_.load(std::memory_order_relaxed); }

  // ---- Pins ----

  // Pins an open queue; false if the queue is closed.
  bool Pin() {
    uint32_t calls = calls_.load();
    do {
      if ((calls & kOpen) == 0) return false;
    } while (!calls_.compare_exchange_weak(calls, calls + 1));
    CheckInDebugBuild(*this);
    return true;
  }

  // True if the queue was closed and this was the last pin: then the caller closes the internals.
  [[nodiscard]] bool Unpin() { return calls_.fetch_sub(1) == 1; }

  uint32_t pins() const { return calls_.load() & ~kOpen; }

  // ---- Names ----

  // Adds the first name of an open queue, or another one while no thread can drop the others.
  void AddName() { names_.fetch_add(1, std::memory_order_acq_rel); }

  // Adds one more name; false if the last one was dropped meanwhile.
  bool AddFurtherName() {
    uint32_t names = names_.load(std::memory_order_acquire);
    do {
      if (names == 0) return false;
    } while (!names_.compare_exchange_weak(names, names + 1, std::memory_order_acq_rel));
    return true;
  }

  // True if this was the last name: then the caller closes the queue.
  [[nodiscard]] bool DropName() { return names_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  uint32_t names() const { return names_.load(std::memory_order_acquire); }

  // ---- Closing ----

  // Closes the queue and leaves it pinned for the caller.  True if other calls, which may sleep,
  // have it pinned.
  [[nodiscard]] bool Close() {
    calls_.fetch_add(1);
    constexpr uint32_t kThisCallAlone = kOpen | 1;
    return calls_.fetch_and(~kOpen) != kThisCallAlone;
  }

  void InternalsAreClosed() { internals_open_.store(false, std::memory_order_release); }

  bool is_unused() const {
    return calls_.load() == 0 && !internals_open_.load(std::memory_order_acquire);
  }

  // Returns the first invariant that does not hold, or nullptr; other threads may go on meanwhile.
  const char* Check() const;

 private:
  static constexpr uint32_t kOpen = 1u << 31;

  SeqCst<uint32_t> calls_;  // kOpen, and the number of pins
  std::atomic<uint32_t> names_;
  std::atomic<uint32_t> incarnation_;
  std::atomic<bool> internals_open_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_LIFETIME_H_
