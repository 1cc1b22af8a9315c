// SPDX-License-Identifier: MIT
//
// Calls that close a range of descriptors, and threads that take a number.
//
// close_range closes every number in its range that is not registered, so a number must not be
// taken from the kernel meanwhile, as it is registered only then: a thread that takes one waits for
// the calls of other threads that are on the way, and a call waits for the threads that have begun
// to take one.  A call stands back until as many waits for a number are over as had begun when it
// came, but for a second at most: otherwise threads that close ranges again and again would keep
// every other thread from taking one, or threads that take numbers a call.  Those are the waits of
// the threads that wait then, unless one that comes later has its number before: two counts do not
// tell whose wait is over, and the call may then go on before a thread that has waited for longer.
//
// A call may be left by siglongjmp, or be made by a child of vfork that is killed in it: then it
// never ends.  So each call is known by its thread.  A thread does not wait for a call of its own,
// which it has interrupted or left, nor, in all, longer than ten seconds for those of other
// threads, which are forgotten then: a debugger may have stopped one, or the file that it closes
// lingers (SO_LINGER).
//
// All functions are async-signal-safe.

#ifndef KEVENT_CORE_DESCRIPTORS_RANGE_CLOSES_H_
#define KEVENT_CORE_DESCRIPTORS_RANGE_CLOSES_H_

#include <atomic>
#include <cstdint>

#include "core/system/system.h"

namespace kevent::core {

// Limits a wait for an event that may never come: the time runs from the first question on.
class WaitDeadline {
 public:
  WaitDeadline() = default;
  explicit WaitDeadline(uint64_t nanoseconds) : nanoseconds_(nanoseconds) {}

  bool passed() {
    const uint64_t now = sys::MonotonicNow();
    if (end_ == 0) end_ = now + nanoseconds_;
    return now >= end_;
  }

 private:
  uint64_t nanoseconds_ = 10'000'000'000;
  uint64_t end_ = 0;
};

class RangeCloses {
 private:
  // The thread and, below it, the number of its call; or 0.
  using Slot = std::atomic<uint64_t>;

 public:
  // A call on the way, for as long as the object lives.  Calls beyond the room for them are not
  // waited for.
  class Call {
   public:
    Call();
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Slot* slot_ = nullptr;
    uint64_t own_;
  };

  // Requires blocked signals: a handler could be a call that waits for its own thread.
  static void BeginTaking();
  static void EndTaking() { taking_.fetch_sub(1, std::memory_order_seq_cst); }

  // Called in a child of fork, where none of the parent's threads goes on.
  static void Forget();

 private:
  static constexpr unsigned kSlots = 32;
  static constexpr unsigned kCallBits = 22;
  static constinit Slot slots_[kSlots];
  static constinit std::atomic<uint64_t> calls_;
  static constinit std::atomic<uint32_t> taking_;
  // The numbers of waits of threads that are about to take a number: begun, and over.
  static constinit std::atomic<uint32_t> waits_begun_;
  static constinit std::atomic<uint32_t> waits_over_;

  static uint64_t Thread();
  static bool IsOfThisThread(uint64_t call);
  static bool AnyOfThisThread();
  static void StandBack();
  static void AwaitOthers();
  static Slot* OfAnotherThread(uint64_t* call);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_RANGE_CLOSES_H_
