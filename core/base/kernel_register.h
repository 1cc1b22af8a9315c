// SPDX-License-Identifier: MIT
//
// A value that the kernel has to be told by a system call, shared by threads and signal handlers
// none of which may wait for another.
//
// The register holds the wanted value, a mark that says if it was told, and a count of changes.
// Three rules make the kernel end up with the value in the register, in whatever order the calls of
// several threads arrive there:
// - a thread that finds an untold value may tell it: the thread that proposed it may be interrupted
//   for ever, by a signal handler that leaves by siglongjmp;
// - after its call a thread looks again, and tells anew while the register holds another value than
//   the one it told: its call may have come after one that told the newer value;
// - a value is marked as told only if nothing was changed since before the call, not even to
//   another value and back: the call that told the other value may have come in between.
//
// A collector that replaces a deadline which has passed promises to tell the next one: until it
// does, the kernel's timer makes the queue readable.  Threads that find such a value rely on that,
// rather than make the same call at the same time.  Nobody else promises anything: whoever relied
// on that would hear nothing from the kernel until that thread goes on, which he may have
// interrupted.
//
// See docs/engine.md, "Telling the kernel".

#ifndef KEVENT_CORE_BASE_KERNEL_REGISTER_H_
#define KEVENT_CORE_BASE_KERNEL_REGISTER_H_

#include <cstdint>

#include "core/base/atomic_pair.h"

namespace kevent::core {

// Zeroed memory holds the value 0, marked as told: the state a kernel object starts in.
class KernelRegister {
 public:
  class State {
   public:
    explicit State(AtomicPair::Halves halves) : halves_(halves) {}
    uint64_t value() const { return halves_.low >> 2; }
    bool told() const { return (halves_.low & kUntold) == 0; }
    // Told, or about to be by a thread that is certain to do so.
    bool will_be_told() const { return (halves_.low & kTelling) != kUntold; }
    // Equal states mean that nothing was changed in between, not even to another value and back.
    friend bool operator==(const State&, const State&) = default;

   private:
    friend class KernelRegister;
    AtomicPair::Halves halves_;  // value << 2 | promised | untold; number of changes
  };

  // Value and mark are consistent with each other.
  State Load() const { return State(pair_.Guess()); }

  // For a kernel object that was made anew: back to 0, told.  A call that timer_delete and the
  // reuse of the queue have overtaken may still be looking at the register; the reset counts as a
  // change, so that call fails to mark its value as told.
  void Reset() {
    AtomicPair::Halves found = pair_.Guess();
    while (!pair_.Swap(found, {0, found.high + 1})) {
    }
  }

  // Raises the value to at least `value`.  Afterwards the value has to be told unless
  // Load().told().
  void RaiseTo(uint64_t value) {
    AtomicPair::Halves found = pair_.Guess();
    while (State(found).value() < value && !pair_.Swap(found, Changed(found, value, kUntold))) {
    }
  }

  // Replaces the state `seen` by another value, to be told; false if the register no longer holds
  // `seen`.
  bool Replace(State seen, uint64_t value) { return Replace(seen, value, kUntold); }
  // Does what Replace does, with the promise to tell the value.
  bool ReplaceAndPromise(State seen, uint64_t value) {
    return Replace(seen, value, kUntold | kPromised);
  }

  // Tells the kernel by `call(value)`, until the register holds the value that was told.
  // Model: WITHOUT_SECOND_LOOK_AFTER_TELLING.
  template <typename Call>
  void Tell(Call call) {
    for (;;) {
      const AtomicPair::Halves seen = pair_.Guess();
      call(State(seen).value());
      AtomicPair::Halves found = seen;
      const AtomicPair::Halves told = {seen.low & ~kTelling, seen.high};
      if (pair_.Swap(found, told) || found == told) return;
    }
  }

 private:
  static constexpr uint64_t kUntold = 1;
  static constexpr uint64_t kPromised = 2;
  static constexpr uint64_t kTelling = kUntold | kPromised;

  static AtomicPair::Halves Changed(const AtomicPair::Halves& from, uint64_t value,
                                    uint64_t telling) {
    return {value << 2 | telling, from.high + 1};
  }

  bool Replace(State seen, uint64_t value, uint64_t telling) {
    AtomicPair::Halves found = seen.halves_;
    return pair_.Swap(found, Changed(found, value, telling));
  }

  AtomicPair pair_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_KERNEL_REGISTER_H_
