// SPDX-License-Identifier: MIT
#ifndef KEVENT_QUEUE_HPP_
#define KEVENT_QUEUE_HPP_

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <kevent/clock.hpp>
#include <kevent/dispatch.hpp>
#include <kevent/error.hpp>
#include <kevent/event.hpp>
#include <kevent/handler.hpp>
#include <new>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace kevent {

class ExpiryAwaiter;
template <class View>
class KeventAwaiter;
class OperationAwaiter;

// A queue of completions.  All of its objects may outlive it, and report nothing then.  Every
// function may be called from any thread; none may be running when the queue is destroyed.
//
// There are two ways to take events.  collect() fills a span, as kevent_get_events(3) does, and
// the program looks at them.  run() collects, calls the callbacks of its objects and resumes
// coroutines; several threads may run one queue.
//
// The constructors make an empty queue with the form that takes a std::error_code, if it fails.
class Queue {
 public:
  Queue() : Queue(Throwing{}, std::error_code()) {}
  explicit Queue(std::error_code& error) noexcept { open(error); }
  Queue(Queue&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), slots_(std::exchange(other.slots_, nullptr)) {}
  Queue& operator=(Queue&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(slots_, other.slots_);
    return *this;
  }
  ~Queue() {
    if (slots_ == nullptr) return;
    const detail::NotCancelled not_cancelled;
    slots_->close();
    kevent_close(fd_);
    slots_->release();
  }

  // The queue's descriptor, which can be polled; -1 of an empty queue.
  int fd() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ != -1; }

  // ---- Into a span ---------------------------------------------------------

  // Wait for `least` events, at least one unless it is 0, take what is ready, and return the
  // part of `room` that they fill.  It is empty, without an error, after the timeout, after a
  // signal handler, and after wake().  None is noexcept: a thread may be cancelled in them.
  std::span<ukevent> collect(std::span<ukevent> room, unsigned least = 1);
  std::span<ukevent> collect(std::span<ukevent> room, unsigned least, std::error_code& error);
  std::span<ukevent> collect(std::span<ukevent> room, std::error_code& error) {
    return collect(room, 1, error);
  }
  template <class Rep, class Period>
  std::span<ukevent> collect_for(std::span<ukevent> room,
                                 std::chrono::duration<Rep, Period> timeout, unsigned least = 1);
  template <class Rep, class Period>
  std::span<ukevent> collect_for(std::span<ukevent> room,
                                 std::chrono::duration<Rep, Period> timeout, unsigned least,
                                 std::error_code& error);
  template <class Rep, class Period>
  std::span<ukevent> collect_for(std::span<ukevent> room,
                                 std::chrono::duration<Rep, Period> timeout,
                                 std::error_code& error) {
    return collect_for(room, timeout, 1, error);
  }
  template <class Clock, class Duration>
  std::span<ukevent> collect_until(std::span<ukevent> room,
                                   std::chrono::time_point<Clock, Duration> deadline,
                                   unsigned least = 1);
  template <class Clock, class Duration>
  std::span<ukevent> collect_until(std::span<ukevent> room,
                                   std::chrono::time_point<Clock, Duration> deadline,
                                   unsigned least, std::error_code& error);
  template <class Clock, class Duration>
  std::span<ukevent> collect_until(std::span<ukevent> room,
                                   std::chrono::time_point<Clock, Duration> deadline,
                                   std::error_code& error) {
    return collect_until(room, deadline, 1, error);
  }

  // Calls the callbacks of a batch, directly after it was collected, and `other` with each event
  // that has no callback.  Returns how many callbacks have run.  When one throws, the callbacks
  // of the events after it are run by the next call that runs any.
  template <class Other>
  std::size_t dispatch(std::span<const ukevent> events, Other&& other) {
    return slots_ == nullptr ? 0 : slots_->dispatch(events, std::forward<Other>(other));
  }
  std::size_t dispatch(std::span<const ukevent> events) {
    return dispatch(events, [](const ukevent& /*event*/) {});
  }

  // One call that collects returns, with what is ready.  Async-signal-safe.
  void wake() noexcept { kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr); }

  // ---- Callbacks and coroutines --------------------------------------------

  // Collect and dispatch, and return how many callbacks have run.  An exception of a callback
  // leaves the call, and loses no other event.  Events without a callback are dropped.
  std::size_t run() { return run_throwing(nullptr, 0); }  // until stop()
  std::size_t run(std::error_code& error) { return loop(nullptr, 0, error); }
  std::size_t run_once() { return once_throwing(1); }  // waits for one batch
  std::size_t run_once(std::error_code& error) { return once(1, error); }
  std::size_t poll() { return once_throwing(0); }  // what is ready
  std::size_t poll(std::error_code& error) { return once(0, error); }
  // Until stop(), or until the time has passed.
  template <class Rep, class Period>
  std::size_t run_for(std::chrono::duration<Rep, Period> time);
  template <class Rep, class Period>
  std::size_t run_for(std::chrono::duration<Rep, Period> time, std::error_code& error);
  template <class Clock, class Duration>
  std::size_t run_until(std::chrono::time_point<Clock, Duration> deadline);
  template <class Clock, class Duration>
  std::size_t run_until(std::chrono::time_point<Clock, Duration> deadline, std::error_code& error);

  // All calls of run(), run_for() and run_until() return after the batch in hand, later ones at
  // once, until restart().  A thread in collect() may take the wake-up from one of them: let all
  // threads run the queue, or call stop() once more.  Async-signal-safe.
  void stop() noexcept {
    if (slots_ == nullptr) return;
    slots_->stopped.store(true, std::memory_order_release);
    wake();
  }
  bool stopped() const noexcept {
    return slots_ == nullptr || slots_->stopped.load(std::memory_order_acquire);
  }
  void restart() noexcept {
    if (slots_ != nullptr) slots_->stopped.store(false, std::memory_order_release);
  }

  // ---- To be awaited, with co_await: coroutine.hpp -------------------------

  // Each is resumed by the thread that runs the queue.  With an error, co_await throws
  // std::system_error, or sets it.
  template <class Clock, class Duration>
  ExpiryAwaiter until(std::chrono::time_point<Clock, Duration> deadline) noexcept;
  template <class Clock, class Duration>
  ExpiryAwaiter until(std::chrono::time_point<Clock, Duration> deadline,
                      std::error_code& error) noexcept;
  template <class Rep, class Period>
  ExpiryAwaiter after(std::chrono::duration<Rep, Period> delay) noexcept;
  template <class Rep, class Period>
  ExpiryAwaiter after(std::chrono::duration<Rep, Period> delay, std::error_code& error) noexcept;
  KeventAwaiter<Readiness> ready(int fd, Interest interest) noexcept;
  KeventAwaiter<Readiness> ready(int fd, Interest interest, std::error_code& error) noexcept;
  KeventAwaiter<SignalReceipt> signal(int signal) noexcept;  // blocked in every thread
  KeventAwaiter<SignalReceipt> signal(int signal, std::error_code& error) noexcept;
  KeventAwaiter<ProcessExit> exit_of(pid_t process) noexcept;
  KeventAwaiter<ProcessExit> exit_of(pid_t process, std::error_code& error) noexcept;
  // The number of bytes.  The buffer must last as long as the coroutine is suspended.
  OperationAwaiter read(int fd, std::span<std::byte> buffer, off_t offset) noexcept;
  OperationAwaiter read(int fd, std::span<std::byte> buffer, off_t offset,
                        std::error_code& error) noexcept;
  OperationAwaiter write(int fd, std::span<const std::byte> buffer, off_t offset) noexcept;
  OperationAwaiter write(int fd, std::span<const std::byte> buffer, off_t offset,
                         std::error_code& error) noexcept;
  OperationAwaiter sync(int fd) noexcept;
  OperationAwaiter sync(int fd, std::error_code& error) noexcept;

  // For what belongs to a queue, null of an empty one (internal).
  detail::Slots* slots() const noexcept { return slots_; }

 private:
  struct Throwing {};
  Queue(Throwing /*form*/, std::error_code error) {
    open(error);
    detail::check(error, "kevent_init");
  }
  void open(std::error_code& error) noexcept;

  static constexpr std::size_t batch = 64;

  // Fails but for EINTR, which is an empty batch.
  int get(std::span<ukevent> room, unsigned least, const timespec* timeout, unsigned flags) {
    return kevent_get_events(fd_, least, static_cast<unsigned>(room.size()), timeout, room.data(),
                             flags);
  }
  static std::span<ukevent> filled(std::span<ukevent> room, int count) {
    if (count == -1) [[unlikely]] {
      if (errno != EINTR) detail::fail(detail::last_error(), "kevent_get_events");
      count = 0;
    }
    return room.first(static_cast<std::size_t>(count));
  }
  static std::span<ukevent> filled(std::span<ukevent> room, int count,
                                   std::error_code& error) noexcept {
    error.clear();
    if (count == -1) [[unlikely]] {
      if (errno != EINTR) error = detail::last_error();
      count = 0;
    }
    return room.first(static_cast<std::size_t>(count));
  }
  // Which flags a deadline on a Clock takes.
  template <class Clock>
  static constexpr unsigned deadline_flags() noexcept {
    constexpr clockid_t id = clock_id<Clock>;
    static_assert(id == CLOCK_MONOTONIC || id == CLOCK_REALTIME,
                  "a thread can wait until a moment of steady_clock or system_clock");
    return KEVENT_FLAGS_ABSTIME |
           (id == CLOCK_MONOTONIC ? static_cast<unsigned>(KEVENT_FLAGS_MONOTONIC) : 0U);
  }

  std::size_t turn(unsigned least, const timespec* timeout, unsigned flags, std::error_code& error);
  std::size_t loop(const timespec* deadline, unsigned flags, std::error_code& error);
  static bool passed(const timespec& deadline, unsigned flags) noexcept;
  std::size_t once(unsigned least, std::error_code& error) {
    // It may have taken the wake-up that stop() has sent to another thread, whether it returns or
    // a callback throws.
    struct PassOn {
      Queue& queue;
      ~PassOn() {
        if (queue.slots_ != nullptr && queue.stopped() && queue.slots_->loops.load() > 0)
          queue.wake();
      }
    };
    const PassOn pass_on{*this};
    return turn(least, nullptr, 0, error);
  }
  std::size_t once_throwing(unsigned least) {
    std::error_code error;
    const std::size_t count = once(least, error);
    detail::check(error, "kevent_get_events");
    return count;
  }
  std::size_t run_throwing(const timespec* deadline, unsigned flags) {
    std::error_code error;
    const std::size_t count = loop(deadline, flags, error);
    detail::check(error, "kevent_get_events");
    return count;
  }

  int fd_ = -1;
  detail::Slots* slots_ = nullptr;
};

inline void Queue::open(std::error_code& error) noexcept {
  detail::count_forks();
  fd_ = detail::check(kevent_init(nullptr, 0, 0), error);
  if (fd_ == -1) return;
  slots_ = new (std::nothrow) detail::Slots(fd_);
  if (slots_ == nullptr) {
    kevent_close(std::exchange(fd_, -1));
    error = detail::error_of(ENOMEM);
  }
}

inline std::span<ukevent> Queue::collect(std::span<ukevent> room, unsigned least) {
  return filled(room, get(room, least, nullptr, 0));
}

inline std::span<ukevent> Queue::collect(std::span<ukevent> room, unsigned least,
                                         std::error_code& error) {
  return filled(room, get(room, least, nullptr, 0), error);
}

template <class Rep, class Period>
std::span<ukevent> Queue::collect_for(std::span<ukevent> room,
                                      std::chrono::duration<Rep, Period> timeout, unsigned least) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(timeout));
  return filled(room, get(room, least, &limit, 0));
}

template <class Rep, class Period>
std::span<ukevent> Queue::collect_for(std::span<ukevent> room,
                                      std::chrono::duration<Rep, Period> timeout, unsigned least,
                                      std::error_code& error) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(timeout));
  return filled(room, get(room, least, &limit, 0), error);
}

template <class Clock, class Duration>
std::span<ukevent> Queue::collect_until(std::span<ukevent> room,
                                        std::chrono::time_point<Clock, Duration> deadline,
                                        unsigned least) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(deadline));
  return filled(room, get(room, least, &limit, deadline_flags<Clock>()));
}

template <class Clock, class Duration>
std::span<ukevent> Queue::collect_until(std::span<ukevent> room,
                                        std::chrono::time_point<Clock, Duration> deadline,
                                        unsigned least, std::error_code& error) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(deadline));
  return filled(room, get(room, least, &limit, deadline_flags<Clock>()), error);
}

template <class Rep, class Period>
std::size_t Queue::run_for(std::chrono::duration<Rep, Period> time) {
  std::error_code error;
  const std::size_t count = run_for(time, error);
  detail::check(error, "kevent_get_events");
  return count;
}

template <class Rep, class Period>
std::size_t Queue::run_for(std::chrono::duration<Rep, Period> time, std::error_code& error) {
  const std::int64_t now = detail::to_nanoseconds(std::chrono::steady_clock::now());
  const std::int64_t length = detail::to_nanoseconds(time);
  const timespec deadline =
      detail::to_timespec(now + std::min(length, detail::longest - now));  // saturates
  return loop(&deadline, deadline_flags<std::chrono::steady_clock>(), error);
}

template <class Clock, class Duration>
std::size_t Queue::run_until(std::chrono::time_point<Clock, Duration> deadline) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(deadline));
  return run_throwing(&limit, deadline_flags<Clock>());
}

template <class Clock, class Duration>
std::size_t Queue::run_until(std::chrono::time_point<Clock, Duration> deadline,
                             std::error_code& error) {
  const timespec limit = detail::to_timespec(detail::to_nanoseconds(deadline));
  return loop(&limit, deadline_flags<Clock>(), error);
}

// One batch, beginning with what an exception has left of another.
inline std::size_t Queue::turn(unsigned least, const timespec* timeout, unsigned flags,
                               std::error_code& error) {
  const std::size_t count = slots_ == nullptr ? 0 : slots_->dispatch_left();
  std::array<ukevent, batch> room;
  const std::span<const ukevent> events =
      filled(room, get(room, count == 0 ? least : 0, timeout, flags), error);
  return count + dispatch(events);
}

inline bool Queue::passed(const timespec& deadline, unsigned flags) noexcept {
  timespec now = {};
  clock_gettime((flags & KEVENT_FLAGS_MONOTONIC) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &now);
  return now.tv_sec != deadline.tv_sec ? now.tv_sec > deadline.tv_sec
                                       : now.tv_nsec >= deadline.tv_nsec;
}

inline std::size_t Queue::loop(const timespec* deadline, unsigned flags, std::error_code& error) {
  // wake() makes one call return: each that stop() has ended passes it on.
  struct Loop {
    Queue& queue;
    explicit Loop(Queue& of) noexcept : queue(of) { queue.slots_->loops.fetch_add(1); }
    ~Loop() {
      if (queue.slots_->loops.fetch_sub(1) > 1 && queue.stopped()) queue.wake();
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
  };
  if (slots_ == nullptr) {
    error = detail::error_of(EBADF);
    return 0;
  }
  const Loop entered(*this);
  error.clear();
  std::size_t count = 0;
  while (!stopped() && !error) {
    count += turn(1, deadline, flags, error);
    if (deadline != nullptr && passed(*deadline, flags)) break;
  }
  return count;
}

}  // namespace kevent

#endif  // KEVENT_QUEUE_HPP_
