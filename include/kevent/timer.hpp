// SPDX-License-Identifier: MIT
#ifndef KEVENT_TIMER_HPP_
#define KEVENT_TIMER_HPP_

#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <kevent/queue.hpp>
#include <ratio>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace kevent {

namespace detail {

// The timer_t of no timer, which each call refuses with EINVAL.  A null one is that of the first
// timer that a program makes of the C library.
inline timer_t no_timer() noexcept {
  return reinterpret_cast<timer_t>(std::uintptr_t{1} << 62 | std::uintptr_t{1} << 31);
}

}  // namespace detail

// A timer of timer_create(2) that expires into a queue, on the clock of POSIX that Clock reads.
// A callback takes a const Expiration&, or nothing.
//
// Setting it replaces its setting.  Times are rounded up to nanoseconds and saturate at 2^62 - 1
// of them; a deadline that has passed, or a delay of 0 or less, is now; an interval of 0 or less
// is none.  Setting takes no lock, allocates nothing, and is usually no system call.
//
// With detail::NoSlot it is a CookieTimer: its events carry a cookie, for programs that collect
// into a span, and setting it takes no instruction more than in C.
//
// cancel() and setting take back an expiration that no thread has collected.  In the thread that
// runs the queue, also one that lies later in the batch: its callback is not run.
template <class Clock, class Slot = detail::SlotOwner>
class BasicTimer {
  template <class H>
  static constexpr bool is_handler =
      std::is_same_v<Slot, detail::NoSlot> ? Cookie<H> : CallbackFor<H, Expiration> && !Cookie<H>;

 public:
  using clock = Clock;
  using Nanoseconds = std::chrono::nanoseconds;

  // A timer that is none.  The form with an error makes one if it fails.
  BasicTimer() = default;
  // `id` names the clock where the type leaves it open, such as the CPU time of another thread.
  template <class H>
  requires is_handler<H> BasicTimer(const Queue& queue, H&& handler,
                                    clockid_t id = clock_id<Clock>) {
    std::error_code error;
    open(queue, std::forward<H>(handler), id, error);
    detail::check(error, "timer_create");
  }
  template <class H>
  requires is_handler<H> BasicTimer(const Queue& queue, H&& handler, std::error_code& error) {
    open(queue, std::forward<H>(handler), clock_id<Clock>, error);
  }
  template <class H>
  requires is_handler<H> BasicTimer(const Queue& queue, H&& handler, clockid_t id,
                                    std::error_code& error) {
    open(queue, std::forward<H>(handler), id, error);
  }
  BasicTimer(BasicTimer&& other) noexcept
      : id_(std::exchange(other.id_, detail::no_timer())), slot_(std::move(other.slot_)) {}
  BasicTimer& operator=(BasicTimer&& other) noexcept {
    if (this == &other) return *this;
    remove(true);
    id_ = std::exchange(other.id_, detail::no_timer());
    slot_ = std::move(other.slot_);
    return *this;
  }
  // Waits while another thread runs its callback, and not in the callback itself.
  ~BasicTimer() { remove(true); }
  // The same, but never waits: the callback is destroyed when it has returned, and must not use the
  // timer meanwhile.
  void abandon() noexcept { remove(false); }

  timer_t id() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ != detail::no_timer(); }

  // ---- Setting -------------------------------------------------------------

  template <class Rep, class Period, class Rep2 = std::int64_t, class Period2 = std::nano>
  void expires_after(std::chrono::duration<Rep, Period> delay,
                     std::chrono::duration<Rep2, Period2> interval = {}) {
    detail::check(set(0, detail::to_nanoseconds(delay), detail::to_nanoseconds(interval)),
                  "timer_settime");
  }
  template <class Rep, class Period>
  void expires_after(std::chrono::duration<Rep, Period> delay, std::error_code& error) noexcept {
    detail::check(set(0, detail::to_nanoseconds(delay), 0), error);
  }
  template <class Rep, class Period, class Rep2, class Period2>
  void expires_after(std::chrono::duration<Rep, Period> delay,
                     std::chrono::duration<Rep2, Period2> interval,
                     std::error_code& error) noexcept {
    detail::check(set(0, detail::to_nanoseconds(delay), detail::to_nanoseconds(interval)), error);
  }

  template <class Duration, class Rep = std::int64_t, class Period = std::nano>
  void expires_at(std::chrono::time_point<Clock, Duration> deadline,
                  std::chrono::duration<Rep, Period> interval = {}) {
    detail::check(
        set(TIMER_ABSTIME, detail::to_nanoseconds(deadline), detail::to_nanoseconds(interval)),
        "timer_settime");
  }
  template <class Duration>
  void expires_at(std::chrono::time_point<Clock, Duration> deadline,
                  std::error_code& error) noexcept {
    detail::check(set(TIMER_ABSTIME, detail::to_nanoseconds(deadline), 0), error);
  }
  template <class Duration, class Rep, class Period>
  void expires_at(std::chrono::time_point<Clock, Duration> deadline,
                  std::chrono::duration<Rep, Period> interval, std::error_code& error) noexcept {
    detail::check(
        set(TIMER_ABSTIME, detail::to_nanoseconds(deadline), detail::to_nanoseconds(interval)),
        error);
  }

  // After one interval, and from then on.
  template <class Rep, class Period>
  void expires_every(std::chrono::duration<Rep, Period> interval) {
    expires_after(interval, interval);
  }
  template <class Rep, class Period>
  void expires_every(std::chrono::duration<Rep, Period> interval, std::error_code& error) noexcept {
    expires_after(interval, interval, error);
  }

  void cancel() { detail::check(disarm(), "timer_settime"); }
  void cancel(std::error_code& error) noexcept { detail::check(disarm(), error); }

  // ---- Many in one call: set() ---------------------------------------------

  template <class Rep, class Period, class Rep2 = std::int64_t, class Period2 = std::nano>
  kevent_setting setting_after(std::chrono::duration<Rep, Period> delay,
                               std::chrono::duration<Rep2, Period2> interval = {}) const noexcept {
    return setting(0, detail::to_nanoseconds(delay), detail::to_nanoseconds(interval));
  }
  template <class Duration, class Rep = std::int64_t, class Period = std::nano>
  kevent_setting setting_at(std::chrono::time_point<Clock, Duration> deadline,
                            std::chrono::duration<Rep, Period> interval = {}) const noexcept {
    return setting(TIMER_ABSTIME, detail::to_nanoseconds(deadline),
                   detail::to_nanoseconds(interval));
  }

  // ---- Reading -------------------------------------------------------------

  // To the next expiration; 0 of a timer that is not set.
  Nanoseconds remaining() const { return detail::to_duration(get().it_value); }
  Nanoseconds remaining(std::error_code& error) const noexcept {
    return detail::to_duration(get(error).it_value);
  }
  Nanoseconds interval() const { return detail::to_duration(get().it_interval); }
  Nanoseconds interval(std::error_code& error) const noexcept {
    return detail::to_duration(get(error).it_interval);
  }
  // The overrun count of the expiration that was collected last (timer_getoverrun).
  int overruns() const { return detail::check(kevent_timer_getoverrun(id_), "timer_getoverrun"); }
  int overruns(std::error_code& error) const noexcept {
    return detail::check(kevent_timer_getoverrun(id_), error);
  }

 private:
  template <class H>
  void open(const Queue& queue, H&& handler, clockid_t id, std::error_code& error) {
    void* const cookie =
        detail::receive<Expiration>(queue.slots(), std::forward<H>(handler), slot_, error);
    if (error) return;
    sigevent event;
    kevent_sigevent(&event, queue.fd(), cookie);
    if (detail::check(kevent_timer_create(id, &event, &id_), error) == -1) {
      id_ = detail::no_timer();
      slot_.reset();
    }
  }

  int set(int flags, std::int64_t first, std::int64_t interval) const noexcept {
    const itimerspec value = detail::to_setting(first, interval);
    // Once it is set, a callback in another thread may destroy this object.
    timer_t const id = id_;
    slot_.renew();
    return kevent_timer_settime(id, flags, &value, nullptr);
  }
  int disarm() const noexcept {
    const itimerspec value = {};
    slot_.renew();
    return kevent_timer_settime(id_, 0, &value, nullptr);
  }
  kevent_setting setting(int flags, std::int64_t first, std::int64_t interval) const noexcept {
    slot_.renew();
    return {.timer = id_, .flags = flags, .error = 0, .value = detail::to_setting(first, interval)};
  }
  itimerspec get() const {
    itimerspec value = {};
    detail::check(kevent_timer_gettime(id_, &value), "timer_gettime");
    return value;
  }
  itimerspec get(std::error_code& error) const noexcept {
    itimerspec value = {};
    detail::check(kevent_timer_gettime(id_, &value), error);
    return value;
  }
  void remove(bool wait) noexcept {
    // First its callback, which may set the timer until it has returned.
    slot_.reset(wait);
    if (*this) kevent_timer_delete(std::exchange(id_, detail::no_timer()));
  }

  timer_t id_ = detail::no_timer();
  [[no_unique_address]] Slot slot_;
};

// Timers with a callback, and timers with a cookie.
using Timer = BasicTimer<std::chrono::steady_clock>;
using SystemTimer = BasicTimer<std::chrono::system_clock>;
template <class Clock>
using BasicCookieTimer = BasicTimer<Clock, detail::NoSlot>;
using CookieTimer = BasicCookieTimer<std::chrono::steady_clock>;
using SystemCookieTimer = BasicCookieTimer<std::chrono::system_clock>;

// Sets many timers in one call, with one reading of each clock, and returns how many were set;
// kevent_setting::error says of each why it was not.
inline std::size_t set(std::span<kevent_setting> settings) {
  if (settings.size() > INT_MAX) detail::fail(detail::error_of(EINVAL), "kevent_settime");
  return static_cast<std::size_t>(detail::check(
      kevent_settime(static_cast<unsigned>(settings.size()), settings.data()), "kevent_settime"));
}
inline std::size_t set(std::span<kevent_setting> settings, std::error_code& error) noexcept {
  if (settings.size() > INT_MAX) {
    error = detail::error_of(EINVAL);
    return 0;
  }
  const int count =
      detail::check(kevent_settime(static_cast<unsigned>(settings.size()), settings.data()), error);
  return count == -1 ? 0 : static_cast<std::size_t>(count);
}

}  // namespace kevent

#endif  // KEVENT_TIMER_HPP_
