// SPDX-License-Identifier: MIT
//
// Moments and durations in nanoseconds, for tests.

#ifndef KEVENT_TESTS_SUPPORT_CLOCK_H_
#define KEVENT_TESTS_SUPPORT_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace kevent_test {

using Nanos = int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kHour = 3'600 * kSecond;

inline timespec ToTimespec(Nanos t) {
  return {static_cast<time_t>(t / kSecond), static_cast<long>(t % kSecond)};
}

// Saturating: the kernel reports remaining times that 64 bits of nanoseconds
// do not hold when they are added to anything.
inline Nanos ToNanos(const timespec& t) {
  Nanos seconds;
  Nanos sum;
  if (__builtin_mul_overflow(Nanos{t.tv_sec}, kSecond, &seconds) ||
      __builtin_add_overflow(seconds, Nanos{t.tv_nsec}, &sum)) {
    return INT64_MAX;
  }
  return sum;
}

inline Nanos Now(clockid_t clock) {
  timespec t = {};
  clock_gettime(clock, &t);
  return ToNanos(t);
}

inline itimerspec Setting(Nanos value, Nanos interval = 0) {
  return {ToTimespec(interval), ToTimespec(value)};
}

// Returns when `clock`, one that advances by itself, has reached `moment`.
inline void SleepUntil(clockid_t clock, Nanos moment) {
  for (Nanos now; (now = Now(clock)) < moment;) {
    const timespec rest = ToTimespec(moment - now);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, nullptr);
  }
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_CLOCK_H_
