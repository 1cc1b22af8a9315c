// SPDX-License-Identifier: MIT
//
// std::chrono and the clocks of POSIX.
#ifndef KEVENT_CLOCK_HPP_
#define KEVENT_CLOCK_HPP_

#include <kevent/kevent.h>

#include <chrono>
#include <cstdint>
#include <ratio>
#include <type_traits>

namespace kevent {

// A clock of POSIX that the standard library does not have.  now() is only valid on a
// clock that clock_gettime(2) can read.
template <clockid_t Id>
struct PosixClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<PosixClock>;
  static constexpr bool is_steady = Id != CLOCK_REALTIME && Id != CLOCK_TAI;
  static constexpr clockid_t id = Id;

  static time_point now() noexcept {
    timespec time = {};
    clock_gettime(Id, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + duration(time.tv_nsec));
  }
};

using BootClock = PosixClock<CLOCK_BOOTTIME>;
using TaiClock = PosixClock<CLOCK_TAI>;
using ProcessClock = PosixClock<CLOCK_PROCESS_CPUTIME_ID>;
using ThreadClock = PosixClock<CLOCK_THREAD_CPUTIME_ID>;

// The clock of POSIX that a Clock reads; a program can specialise it for a clock of its own,
// whose epoch must be that of the clock it names.
template <class Clock>
inline constexpr clockid_t clock_id = Clock::id;
template <>
inline constexpr clockid_t clock_id<std::chrono::steady_clock> = CLOCK_MONOTONIC;
template <>
inline constexpr clockid_t clock_id<std::chrono::system_clock> = CLOCK_REALTIME;

namespace detail {

// Deadlines and intervals of libkevent end here, about 146 years on.
inline constexpr std::int64_t longest = (std::int64_t{1} << 62) - 1;

// Nanoseconds from 0 to `longest`, rounded up so that nothing is early.
template <class Rep, class Period>
constexpr std::int64_t to_nanoseconds(const std::chrono::duration<Rep, Period>& time) noexcept {
  using Tick = std::ratio_divide<Period, std::nano>;
  const Rep ticks = time.count();
  if (!(ticks > Rep{0})) return 0;  // not a number, too
  if constexpr (std::chrono::treat_as_floating_point_v<Rep>) {
    const auto exact =
        static_cast<long double>(ticks) * (static_cast<long double>(Tick::num) / Tick::den);
    if (exact >= static_cast<long double>(longest)) return longest;
    const auto whole = static_cast<std::int64_t>(exact);
    return static_cast<long double>(whole) < exact ? whole + 1 : whole;
  } else {
    __extension__ using Wide = unsigned __int128;
    const Wide exact = (static_cast<Wide>(ticks) * static_cast<Wide>(Tick::num) +
                        static_cast<Wide>(Tick::den - 1)) /
                       static_cast<Wide>(Tick::den);
    return exact > static_cast<Wide>(longest) ? longest : static_cast<std::int64_t>(exact);
  }
}

template <class Clock, class Duration>
constexpr std::int64_t to_nanoseconds(
    const std::chrono::time_point<Clock, Duration>& time) noexcept {
  return to_nanoseconds(time.time_since_epoch());
}

constexpr timespec to_timespec(std::int64_t nanoseconds) noexcept {
  constexpr std::uint64_t second = 1'000'000'000;
  const auto time = static_cast<std::uint64_t>(nanoseconds);
  return {.tv_sec = static_cast<time_t>(time / second),
          .tv_nsec = static_cast<long>(time % second)};
}

constexpr std::chrono::nanoseconds to_duration(const timespec& time) noexcept {
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// A first expiration that has passed is now: {0, 0} would disarm the timer.
constexpr itimerspec to_setting(std::int64_t first, std::int64_t interval) noexcept {
  return {.it_interval = to_timespec(interval), .it_value = to_timespec(first == 0 ? 1 : first)};
}

}  // namespace detail
}  // namespace kevent

#endif  // KEVENT_CLOCK_HPP_
