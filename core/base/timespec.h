// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_TIMESPEC_H_
#define KEVENT_CORE_BASE_TIMESPEC_H_

#include <time.h>

#include <cstdint>

namespace kevent::core {

using Nanoseconds = uint64_t;

// The latest moment that a setting can name, about 146 years after the epoch
// of its axis.  Later deadlines and longer intervals saturate here.
inline constexpr Nanoseconds kLatest = (uint64_t{1} << 62) - 1;

inline constexpr Nanoseconds AddSaturating(Nanoseconds a, Nanoseconds b) {
  return a > kLatest - b ? kLatest : a + b;
}

inline constexpr Nanoseconds kNanosecondsPerSecond = 1'000'000'000;

// The kernel's own condition (timespec64_valid): not negative, nanoseconds in range.
inline bool IsValid(const timespec& t) {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 &&
         static_cast<Nanoseconds>(t.tv_nsec) < kNanosecondsPerSecond;
}

// Saturates at kLatest.  Requires IsValid(t).
inline Nanoseconds ToNanoseconds(const timespec& t) {
  constexpr Nanoseconds kLatestSecond = kLatest / kNanosecondsPerSecond;
  const auto seconds = static_cast<Nanoseconds>(t.tv_sec);
  if (seconds >= kLatestSecond) return kLatest;
  return seconds * kNanosecondsPerSecond + static_cast<Nanoseconds>(t.tv_nsec);
}

constexpr timespec ToTimespec(Nanoseconds nanoseconds) {
  return {static_cast<time_t>(nanoseconds / kNanosecondsPerSecond),
          static_cast<long>(nanoseconds % kNanosecondsPerSecond)};
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_TIMESPEC_H_
