// SPDX-License-Identifier: MIT
//
// A value that the kernel has to be told by a system call, shared by threads
// and signal handlers none of which may wait for another.
//
// The word says which value is wanted and whether it was told.  Two rules make
// the kernel end up with the value in the word, in whatever order the calls of
// several threads arrive there:
//   - whoever finds an untold value may tell it himself (its proposer may be
//     interrupted for ever, by a signal handler that left it by siglongjmp);
//   - whoever made the call looks again, and tells anew while the word holds
//     another value than the one he told: his call may have come after one
//     that told the newer value.
// (design, "Telling the kernel")

#ifndef KEVENT_CORE_KERNEL_REGISTER_H_
#define KEVENT_CORE_KERNEL_REGISTER_H_

#include <atomic>
#include <cstdint>

namespace kevent::core {

// Zeroed memory holds the value 0, told: what the kernel starts with.
class KernelRegister {
 public:
  class State {
   public:
    explicit State(uint64_t bits) : bits_(bits) {}
    uint64_t value() const { return bits_ >> 1; }
    bool told() const { return (bits_ & 1) == 0; }
    uint64_t bits() const { return bits_; }

   private:
    uint64_t bits_;
  };

  State Load() const { return State(word_.load(std::memory_order_seq_cst)); }

  // Before anybody else knows of it: back to 0, told.
  void Reset() { word_.store(0, std::memory_order_relaxed); }

  // Raises the value to at least `value`; afterwards it is to be told unless
  // Load().told().
  void RaiseTo(uint64_t value) {
    uint64_t found = word_.load(std::memory_order_seq_cst);
    while (State(found).value() < value &&
           !word_.compare_exchange_weak(found, Wanted(value), std::memory_order_seq_cst)) {
    }
  }

  // Replaces the value seen by another one, to be told; false when it is no
  // longer the value of the word.
  bool Replace(State seen, uint64_t value) {
    uint64_t found = seen.bits();
    return word_.compare_exchange_strong(found, Wanted(value), std::memory_order_seq_cst);
  }

  // Tells the kernel by `call(value)`, until the word holds what was told.
  template <typename Call>
  void Tell(Call call) {
    for (;;) {
      const uint64_t value = Load().value();
      call(value);
      uint64_t found = Wanted(value);
      if (word_.compare_exchange_strong(found, Told(value), std::memory_order_seq_cst)) return;
      if (found == Told(value)) return;
    }
  }

 private:
  static uint64_t Wanted(uint64_t value) { return value << 1 | 1; }
  static uint64_t Told(uint64_t value) { return value << 1; }

  std::atomic<uint64_t> word_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KERNEL_REGISTER_H_
