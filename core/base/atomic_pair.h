// SPDX-License-Identifier: MIT
//
// Two 64-bit halves that are replaced together, by a 16-byte compare-and-swap.  Supports aarch64
// and x86-64; no other file knows how either does it.

#ifndef KEVENT_CORE_BASE_ATOMIC_PAIR_H_
#define KEVENT_CORE_BASE_ATOMIC_PAIR_H_

#if !defined(__LP64__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "libkevent runs on x86-64 and arm64, which can swap 16 bytes: kevent(7), Other processors"
#endif

#include <cstdint>

namespace kevent::core {

// Zeroed memory is a pair of zeros.
class AtomicPair {
 public:
  struct Halves {
    uint64_t low = 0;
    uint64_t high = 0;
    friend bool operator==(const Halves&, const Halves&) = default;
  };

  // Two loads, not one: the halves may belong to different values.  That is good enough for the
  // expected value of Swap, which compares all 16 bytes.
  Halves Guess() const {
    const uint64_t high = __atomic_load_n(&halves_[1], __ATOMIC_SEQ_CST);
    return {low(), high};
  }

  uint64_t low() const { return __atomic_load_n(&halves_[0], __ATOMIC_SEQ_CST); }

  // Replaces `expected` by `desired`; if the pair holds another value, returns false and stores in
  // `expected` what it has found, whose halves may belong to different values: on arm64 without
  // casp (before Armv8.1) only an exclusive store that succeeds shows that ldxp has read both at
  // one instant.
  //
  // A swap orders its thread's accesses, also when it fails: what the thread has stored before it
  // is seen by all threads before what the thread reads by seq_cst after it.
  //
  // __sync and not __atomic: gcc turns 16-byte __atomic operations into calls of libatomic, and
  // expands these in line (cmpxchg16b, casp), or calls what libgcc has of them.
  bool Swap(Halves& expected, const Halves& desired) {
    const Bits before = Join(expected);
    const Bits found = __sync_val_compare_and_swap(&bits_, before, Join(desired));
    if (found == before) return true;
#if defined(__aarch64__)
    // A casp that fails stores nothing, and only a store has what came before it wait (Arm
    // Architecture Reference Manual, CASP).  gcc puts no barrier beside it.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
    expected = {static_cast<uint64_t>(found), static_cast<uint64_t>(found >> 64)};
    return false;
  }

 private:
  __extension__ using Bits = unsigned __int128;
  static Bits Join(const Halves& h) { return Bits{h.high} << 64 | h.low; }

  union {
    Bits bits_ = 0;
    uint64_t halves_[2];  // [0] is the low half: little-endian machines only
  };
};
static_assert(sizeof(AtomicPair) == 16);
static_assert(alignof(AtomicPair) == 16);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_ATOMIC_PAIR_H_
