// SPDX-License-Identifier: MIT
//
// A timer's setting and the 16-byte word that holds it: the one truth about when the timer expires.
// The index may lag behind it.

#ifndef KEVENT_CORE_TIMERS_SETTING_H_
#define KEVENT_CORE_TIMERS_SETTING_H_

#include <cstdint>

#include "core/base/atomic_pair.h"
#include "core/base/timespec.h"

namespace kevent::core {

// The moments at which a timer expires.  An all-zero setting is a disarmed timer.
struct Setting {
  // The first expiration that was not collected; 0: disarmed.
  Nanoseconds deadline = 0;
  // The period; 0: one-shot.
  Nanoseconds interval = 0;
  // True if the deadline is on the monotonic axis, though the timer's clock is another: relative
  // timers do not move when their clock is set (POSIX timer_settime).
  bool on_monotonic_axis = false;
  // Counts settings, modulo 8, so that a swap fails that timer_delete and the reuse of the slot
  // have overtaken.
  uint8_t generation = 0;

  bool armed() const { return deadline != 0; }
};

// The setting that timer_delete leaves in the word, and timer_settime with it_value 0.
inline Setting Disarmed(const Setting& before) {
  Setting disarmed;
  disarmed.generation = static_cast<uint8_t>((before.generation + 1) & 7);
  return disarmed;
}

// The result of one look at a due setting.
struct Expirations {
  uint64_t overruns;  // expirations after the first one
  Nanoseconds last;   // moment of the last expiration
  Nanoseconds next;   // the next deadline on the phase; 0: there is none
};

// Takes one division, whatever the interval and however long no collector looked.  Requires
// setting.armed() and setting.deadline <= now.
inline Expirations ExpirationsAt(const Setting& setting, Nanoseconds now) {
  if (setting.interval == 0) return {0, setting.deadline, 0};
  const uint64_t overruns = (now - setting.deadline) / setting.interval;
  const Nanoseconds last = setting.deadline + overruns * setting.interval;
  return {overruns, last, AddSaturating(last, setting.interval)};
}

// Time to the next expiration, as timer_gettime reports it: 0 for a disarmed
// timer and for an expired one-shot, the running period for a periodic timer
// whether or not its expirations were collected (measured on Linux).
inline Nanoseconds RemainingAt(const Setting& setting, Nanoseconds now) {
  if (!setting.armed()) return 0;
  if (now < setting.deadline) return setting.deadline - now;
  if (setting.interval == 0) return 0;
  return setting.interval - (now - setting.deadline) % setting.interval;
}

// The setting as bits, and as the two halves that can be loaded one by one.
//   low:  deadline << 2 | on_monotonic_axis << 1 | generation bit 0
//   high: interval << 2 | generation bits 1, 2
// The index needs the low half alone.
class PackedSetting {
 public:
  PackedSetting() = default;  // without a value
  explicit PackedSetting(AtomicPair::Halves halves) : low_(halves.low), high_(halves.high) {}
  explicit PackedSetting(const Setting& s)
      : low_(s.deadline << 2 | (s.on_monotonic_axis ? 2u : 0u) | (s.generation & 1u)),
        high_(s.interval << 2 | (s.generation >> 1 & 3u)) {}

  Setting Unpack() const {
    return {low_ >> 2, high_ >> 2, (low_ & 2) != 0,
            static_cast<uint8_t>((low_ & 1) | (high_ & 3) << 1)};
  }

  Nanoseconds interval() const { return high_ >> 2; }
  uint32_t generation() const { return static_cast<uint32_t>((low_ & 1) | (high_ & 3) << 1); }

  // The setting, as the one that comes after `before`.
  PackedSetting After(const PackedSetting& before) const {
    const uint64_t next = uint64_t{before.generation()} + 1;
    return PackedSetting(AtomicPair::Halves{(low_ & ~uint64_t{1}) | (next & 1),
                                            (high_ & ~uint64_t{3}) | (next >> 1 & 3)});
  }

  uint64_t low() const { return low_; }
  uint64_t high() const { return high_; }

 private:
  uint64_t low_;
  uint64_t high_;
};

// A deadline and its axis, as in the low half of the word with the generation bit cleared; the
// index keeps this part of a setting.  0: none.
class AxisDeadline {
 public:
  AxisDeadline() = default;
  explicit AxisDeadline(uint64_t low_half) : bits_(low_half & ~uint64_t{1}) {}
  AxisDeadline(Nanoseconds deadline, bool on_monotonic_axis)
      : bits_(deadline << 2 | uint64_t{on_monotonic_axis} << 1) {}

  Nanoseconds deadline() const { return bits_ >> 2; }
  bool on_monotonic_axis() const { return (bits_ & 2) != 0; }
  uint64_t bits() const { return bits_; }

  friend bool operator==(AxisDeadline a, AxisDeadline b) { return a.bits_ == b.bits_; }

 private:
  uint64_t bits_ = 0;
};

// The word of one timer.  Zeroed memory is a disarmed timer.
class SettingWord {
 public:
  // The halves may belong to different settings.  That is good enough for Swap, which compares all
  // 16 bytes.
  PackedSetting Guess() const { return PackedSetting(pair_.Guess()); }

  // Deadline and axis, consistent with each other.
  AxisDeadline axis_deadline() const { return AxisDeadline(pair_.low()); }

  // Reads all 16 bytes at one instant: that of a swap which finds them.  It is repeated only when
  // another thread, or a handler, has set the timer meanwhile.
  PackedSetting Read() {
    PackedSetting value = Guess();
    while (!Swap(value, value)) {
    }
    return value;
  }

  // Replaces `expected` by `desired`; if the word holds another value, returns false and stores
  // another guess in `expected`.  The same order as AtomicPair::Swap.
  bool Swap(PackedSetting& expected, const PackedSetting& desired) {
    AtomicPair::Halves halves = {expected.low(), expected.high()};
    if (pair_.Swap(halves, {desired.low(), desired.high()})) return true;
    expected = PackedSetting(halves);
    return false;
  }

 private:
  AtomicPair pair_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_SETTING_H_
