// SPDX-License-Identifier: MIT
//
// The program's timer_t.
//
//   bit 63      0
//   bit 62      1: the library's.  Kernel ids are small ints, and the C library's handles of
//               SIGEV_THREAD are bit 63 and half of an address; neither has this one.
//   bits 61-32  generation of the slot, odd while the timer lives
//   bit 31      1, so that a handle cut to 32 bits is no timer, however it is widened
//               again: without a sign it is a negative int for the kernel, EINVAL;
//               with one it has bits 62 and 63, which no handle has.  The C library
//               would take it for an address.
//   bits 28-0   slot

#ifndef KEVENT_CORE_TIMERS_HANDLE_H_
#define KEVENT_CORE_TIMERS_HANDLE_H_

#include <cstdint>

namespace kevent::core {

inline constexpr uint32_t kSlotBits = 29;
inline constexpr uint32_t kLastGeneration = (1u << 30) - 1;

class Handle {
 public:
  explicit Handle(uint64_t bits) : bits_(bits) {}
  Handle(uint32_t slot, uint32_t generation)
      : bits_(kTag | uint64_t{generation} << 32 | kNegativeInt | slot) {}

  uint64_t bits() const { return bits_; }

  // True if the library made it; every other timer_t is the C library's.
  bool tagged() const { return (bits_ & kTag) != 0; }

  // True if a timer can have, or have had, this handle.
  bool well_formed() const {
    return (bits_ & (kTag | kSign | kNegativeInt | kUnused | kOddGeneration)) ==
           (kTag | kNegativeInt | kOddGeneration);
  }
  uint32_t slot() const { return static_cast<uint32_t>(bits_) & ((1u << kSlotBits) - 1); }
  uint32_t generation() const { return static_cast<uint32_t>(bits_ >> 32) & kLastGeneration; }

 private:
  static constexpr uint64_t kSign = uint64_t{1} << 63;
  static constexpr uint64_t kTag = uint64_t{1} << 62;
  static constexpr uint64_t kNegativeInt = uint64_t{1} << 31;
  static constexpr uint64_t kUnused = uint64_t{3} << kSlotBits;
  static constexpr uint64_t kOddGeneration = uint64_t{1} << 32;

  uint64_t bits_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_HANDLE_H_
