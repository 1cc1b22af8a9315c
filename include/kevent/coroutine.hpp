// SPDX-License-Identifier: MIT
//
// Awaiters suspend a coroutine until an event of a queue.  An awaiter lives in the frame of the
// coroutine, and allocates nothing but a slot of the queue.  When a suspended coroutine is
// destroyed its awaiter ends the wait; an event that is in a batch already finds nobody.
#ifndef KEVENT_COROUTINE_HPP_
#define KEVENT_COROUTINE_HPP_

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <kevent/operation.hpp>
#include <kevent/queue.hpp>
#include <kevent/watch.hpp>
#include <span>
#include <system_error>

namespace kevent {
namespace detail {

class Awaiter {
 public:
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  bool await_ready() const noexcept { return false; }

 protected:
  Awaiter(const Queue& queue, std::error_code* report) noexcept
      : slots_(queue.slots()), report_(report) {}
  ~Awaiter() = default;

  Slots& slots() const noexcept { return *slots_; }
  // Where the event resumes the coroutine; null with an error.
  void* cookie(std::coroutine_handle<> coroutine) noexcept {
    coroutine_ = coroutine;
    error_ = error_of(slots_ == nullptr ? EBADF : ENOMEM);
    if (slots_ == nullptr) return nullptr;
    slot_ = SlotOwner::to(*slots_, this, [](void* target, const ukevent& event) {
      auto* const awaiter = static_cast<Awaiter*>(target);
      awaiter->event_ = event;
      awaiter->reported_ = true;
      awaiter->coroutine_.resume();
    });
    if (!slot_) return nullptr;
    error_.clear();
    return slot_.cookie();
  }
  // After the last write to this object, and before the source is asked: once it is, another
  // thread may resume the coroutine, and this object be gone.  So await_suspend is not inlined:
  // clang would keep its variables in the frame.
  void publish() const noexcept { slot_.publish(); }
  // Notes the error and returns false, by which await_suspend has the coroutine go on at once.
  bool failed(int error) noexcept {
    error_ = error_of(error);
    return false;
  }
  void finish(const char* call) const {
    if (report_ != nullptr) {
      *report_ = error_;
    } else {
      check(error_, call);
    }
  }
  void forget() noexcept { slot_.reset(); }

  ukevent event_ = {};
  std::error_code error_;
  bool reported_ = false;

 private:
  Slots* slots_;
  std::error_code* report_;
  std::coroutine_handle<> coroutine_;
  SlotOwner slot_;
};

}  // namespace detail

// Waits for a moment.  co_await returns an Expiration.
class [[nodiscard]] ExpiryAwaiter : public detail::Awaiter {
 public:
  ExpiryAwaiter(const Queue& queue, clockid_t clock, int flags, std::int64_t first,
                std::error_code* report) noexcept
      : Awaiter(queue, report), clock_(clock), flags_(flags), first_(first) {}
  ~ExpiryAwaiter() {
    if (timer_ != nullptr) kevent_timer_delete(timer_);
    forget();
  }

  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    void* const to = cookie(coroutine);
    if (to == nullptr) return false;
    sigevent event;
    kevent_sigevent(&event, slots().fd(), to);
    timer_t timer = nullptr;
    if (kevent_timer_create(clock_, &event, &timer) == -1) return failed(errno);
    timer_ = timer;
    publish();
    const itimerspec value = detail::to_setting(first_, 0);
    return kevent_timer_settime(timer, flags_, &value, nullptr) == 0 || failed(errno);
  }
  Expiration await_resume() const {
    finish("timer_create");
    return Expiration(event_);
  }

 private:
  const clockid_t clock_;
  const int flags_;
  const std::int64_t first_;
  timer_t timer_ = nullptr;
};

// Waits for a descriptor, a signal or the end of a process.  co_await returns the View.
template <class View>
class [[nodiscard]] KeventAwaiter : public detail::Awaiter {
 public:
  KeventAwaiter(const Queue& queue, const ukevent& request, std::error_code* report) noexcept
      : Awaiter(queue, report) {
    event_ = request;
  }
  ~KeventAwaiter() {
    if (registered_ && !reported_ && forks_ == detail::forks.load(std::memory_order_relaxed)) {
      ukevent request = event_;
      kevent_ctl(slots().fd(), KEVENT_CTL_REMOVE, 1, &request);
    }
    forget();
  }

  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    event_.ptr = cookie(coroutine);
    if (event_.ptr == nullptr) return false;
    ukevent request = event_;
    registered_ = true;
    publish();
    if (kevent_ctl(slots().fd(), KEVENT_CTL_ADD, 1, &request) == -1) {
      registered_ = false;
      return failed(errno);
    }
    if ((request.ret_flags & KEVENT_RET_BROKEN) == 0) return true;
    registered_ = false;
    return failed(-static_cast<int>(request.ret_data[1]));
  }
  View await_resume() const {
    finish("kevent_ctl");
    return View(event_);
  }

 private:
  const std::uint32_t forks_ = detail::forks.load(std::memory_order_relaxed);
  bool registered_ = false;
};

// Waits for an asynchronous operation.  co_await returns the number of bytes.
class [[nodiscard]] OperationAwaiter : public detail::Awaiter {
 public:
  using Kind = detail::Control::Kind;

  OperationAwaiter(const Queue& queue, Kind kind, int fd, std::span<std::byte> buffer, off_t offset,
                   std::error_code* report) noexcept
      : Awaiter(queue, report), kind_(kind), control_(fd, buffer, offset) {}
  // The operation ends before the slot is given up: members go in the opposite order.
  ~OperationAwaiter() = default;

  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    void* const to = cookie(coroutine);
    if (to == nullptr) return false;
    publish();
    const int error = control_.begin(kind_, slots().fd(), to);
    return error == 0 || failed(error);
  }
  std::size_t await_resume() {
    if (!reported_) {
      finish("aio");
      return 0;
    }
    const Completion completion(event_);
    error_ = completion.error;
    finish("aio");
    return completion.bytes;
  }

 private:
  const Kind kind_;
  detail::Control control_;
};

template <class Clock, class Duration>
ExpiryAwaiter Queue::until(std::chrono::time_point<Clock, Duration> deadline) noexcept {
  return {*this, clock_id<Clock>, TIMER_ABSTIME, detail::to_nanoseconds(deadline), nullptr};
}
template <class Clock, class Duration>
ExpiryAwaiter Queue::until(std::chrono::time_point<Clock, Duration> deadline,
                           std::error_code& error) noexcept {
  return {*this, clock_id<Clock>, TIMER_ABSTIME, detail::to_nanoseconds(deadline), &error};
}
template <class Rep, class Period>
ExpiryAwaiter Queue::after(std::chrono::duration<Rep, Period> delay) noexcept {
  return {*this, CLOCK_MONOTONIC, 0, detail::to_nanoseconds(delay), nullptr};
}
template <class Rep, class Period>
ExpiryAwaiter Queue::after(std::chrono::duration<Rep, Period> delay,
                           std::error_code& error) noexcept {
  return {*this, CLOCK_MONOTONIC, 0, detail::to_nanoseconds(delay), &error};
}

inline KeventAwaiter<Readiness> Queue::ready(int fd, Interest interest) noexcept {
  return {*this, detail::request_of(fd, interest, KEVENT_REQ_ONESHOT), nullptr};
}
inline KeventAwaiter<Readiness> Queue::ready(int fd, Interest interest,
                                             std::error_code& error) noexcept {
  return {*this, detail::request_of(fd, interest, KEVENT_REQ_ONESHOT), &error};
}
inline KeventAwaiter<SignalReceipt> Queue::signal(int signal) noexcept {
  return {*this, detail::request_of_signal(signal, KEVENT_REQ_ONESHOT), nullptr};
}
inline KeventAwaiter<SignalReceipt> Queue::signal(int signal, std::error_code& error) noexcept {
  return {*this, detail::request_of_signal(signal, KEVENT_REQ_ONESHOT), &error};
}
inline KeventAwaiter<ProcessExit> Queue::exit_of(pid_t process) noexcept {
  return {*this, detail::request_of_process(process), nullptr};
}
inline KeventAwaiter<ProcessExit> Queue::exit_of(pid_t process, std::error_code& error) noexcept {
  return {*this, detail::request_of_process(process), &error};
}

inline OperationAwaiter Queue::read(int fd, std::span<std::byte> buffer, off_t offset) noexcept {
  return {*this, detail::Control::Kind::kRead, fd, buffer, offset, nullptr};
}
inline OperationAwaiter Queue::read(int fd, std::span<std::byte> buffer, off_t offset,
                                    std::error_code& error) noexcept {
  return {*this, detail::Control::Kind::kRead, fd, buffer, offset, &error};
}
inline OperationAwaiter Queue::write(int fd, std::span<const std::byte> buffer,
                                     off_t offset) noexcept {
  return {*this, detail::Control::Kind::kWrite, fd, detail::writable(buffer), offset, nullptr};
}
inline OperationAwaiter Queue::write(int fd, std::span<const std::byte> buffer, off_t offset,
                                     std::error_code& error) noexcept {
  return {*this, detail::Control::Kind::kWrite, fd, detail::writable(buffer), offset, &error};
}
inline OperationAwaiter Queue::sync(int fd) noexcept {
  return {*this, detail::Control::Kind::kSync, fd, {}, 0, nullptr};
}
inline OperationAwaiter Queue::sync(int fd, std::error_code& error) noexcept {
  return {*this, detail::Control::Kind::kSync, fd, {}, 0, &error};
}

}  // namespace kevent

#endif  // KEVENT_COROUTINE_HPP_
