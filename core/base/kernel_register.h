// SPDX-License-Identifier: MIT
//
// A value that the kernel has to be told by a system call, shared by threads
// and signal handlers none of which may wait for another.
//
// It says which value is wanted, whether it was told, and how often that was
// changed.  Three rules make the kernel end up with the value in the register,
// in whatever order the calls of several threads arrive there:
//   - whoever finds an untold value may tell it himself (its proposer may be
//     interrupted for ever, by a signal handler that left it by siglongjmp);
//   - whoever made the call looks again, and tells anew while the register holds
//     another value than the one he told: his call may have come after one
//     that told the newer value;
//   - a value is marked as told only if nothing was changed since before the
//     call, not even to another value and back: the call that told the other
//     may have come in between.
// (design, "Telling the kernel")

#ifndef KEVENT_CORE_BASE_KERNEL_REGISTER_H_
#define KEVENT_CORE_BASE_KERNEL_REGISTER_H_

#include <cstdint>

#include "core/base/atomic_pair.h"

namespace kevent::core {

// Zeroed memory holds the value 0, told: what the kernel starts with.
class KernelRegister {
 public:
  class State {
   public:
    explicit State(AtomicPair::Halves halves) : halves_(halves) {}
    uint64_t value() const { return halves_.low >> 1; }
    bool told() const { return (halves_.low & 1) == 0; }
    // Nothing was changed in between, not even to another value and back.
    friend bool operator==(const State&, const State&) = default;

   private:
    friend class KernelRegister;
    AtomicPair::Halves halves_;  // value << 1 | untold; number of changes
  };

  // Value and mark are consistent with each other.
  State Load() const { return State(pair_.Guess()); }

  // Of a kernel object that was made anew: back to 0, told.  A call that timer_delete
  // and the reuse of the queue have overtaken may still be looking at it; a change
  // as any other, it makes what that call is about to mark as told fail.
  void Reset() {
    AtomicPair::Halves found = pair_.Guess();
    while (!pair_.Swap(found, {0, found.high + 1})) {
    }
  }

  // Raises the value to at least `value`; afterwards it is to be told unless
  // Load().told().
  void RaiseTo(uint64_t value) {
    AtomicPair::Halves found = pair_.Guess();
    while (State(found).value() < value && !pair_.Swap(found, Changed(found, value))) {
    }
  }

  // Replaces what was seen by another value, to be told; false when it is no
  // longer what the register holds.
  bool Replace(State seen, uint64_t value) {
    AtomicPair::Halves found = seen.halves_;
    return pair_.Swap(found, Changed(found, value));
  }

  // Tells the kernel by `call(value)`, until the register holds what was told.
  // Model: WITHOUT_SECOND_LOOK_AFTER_TELLING.
  template <typename Call>
  void Tell(Call call) {
    for (;;) {
      const AtomicPair::Halves seen = pair_.Guess();
      call(State(seen).value());
      AtomicPair::Halves found = seen;
      const AtomicPair::Halves told = {seen.low & ~uint64_t{1}, seen.high};
      if (pair_.Swap(found, told) || found == told) return;
    }
  }

 private:
  static AtomicPair::Halves Changed(const AtomicPair::Halves& from, uint64_t value) {
    return {value << 1 | 1, from.high + 1};
  }

  AtomicPair pair_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_KERNEL_REGISTER_H_
