// SPDX-License-Identifier: MIT
#ifndef KEVENT_TASK_HPP_
#define KEVENT_TASK_HPP_

#include <atomic>
#include <coroutine>
#include <exception>
#include <kevent/error.hpp>
#include <optional>
#include <type_traits>
#include <utility>

namespace kevent {

template <class T = void>
class Task;

namespace detail {

template <class T>
class Result {
 public:
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <>
class Result<void> {
 public:
  void return_void() noexcept {}
  void take() noexcept {}
};

template <class T>
class Promise : public Result<T> {
 public:
  Task<T> get_return_object() noexcept;
  std::suspend_never initial_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept {
#ifdef __cpp_exceptions
    exception_ = std::current_exception();
#endif
  }

  struct Final {
    bool await_ready() noexcept { return false; }
    [[gnu::noinline]] std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> coroutine) noexcept {
      // After the exchange whoever owns the task may destroy it; clang keeps variables of a
      // function that it has inlined here in the frame.
      void* const waiting = coroutine.promise().waiting_.exchange(finished());
      return waiting == nullptr ? std::noop_coroutine()
                                : std::coroutine_handle<>::from_address(waiting);
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }

  bool done() const noexcept { return waiting_.load(std::memory_order_acquire) == finished(); }
  // False if it is done, and the caller is not to wait.
  bool wait(std::coroutine_handle<> caller) noexcept {
    void* nobody = nullptr;
    return waiting_.compare_exchange_strong(nobody, caller.address());
  }
  // The caller is destroyed, and waits no more.
  void forget(std::coroutine_handle<> caller) noexcept {
    void* waiting = caller.address();
    waiting_.compare_exchange_strong(waiting, nullptr);
  }
  T take() {
#ifdef __cpp_exceptions
    if (exception_) std::rethrow_exception(exception_);
#endif
    return Result<T>::take();
  }

 private:
  // An address that no coroutine has.
  static void* finished() noexcept { return &mark_; }
  static inline char mark_ = 0;

  std::atomic<void*> waiting_{nullptr};
  std::exception_ptr exception_;
};

}  // namespace detail

// A coroutine, which begins at once and is destroyed with its task: a small one, for programs
// that have none of their own.  Any coroutine may await what a queue offers.
//
// Destroying the task of a suspended coroutine cancels it: its variables are destroyed, and with
// them the tasks that it waits for.  No thread may be resuming it then; so let the thread that
// runs the queue do it, or stop the threads that run it first.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task() = default;
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    Task old(std::move(other));
    std::swap(coroutine_, old.coroutine_);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  explicit operator bool() const noexcept { return static_cast<bool>(coroutine_); }
  bool done() const noexcept { return coroutine_.promise().done(); }
  // Returns the coroutine's result, once, or throws the exception that it has ended with.
  T get() { return coroutine_.promise().take(); }

  // One coroutine at a time may await it.
  auto operator co_await() noexcept {
    struct Awaiter {
      promise_type& promise;
      std::coroutine_handle<> waiting = nullptr;

      explicit Awaiter(promise_type& of) noexcept : promise(of) {}
      Awaiter(const Awaiter&) = delete;
      Awaiter& operator=(const Awaiter&) = delete;
      // Of a suspended caller: after await_resume() the task may be gone.
      ~Awaiter() {
        if (waiting) promise.forget(waiting);
      }
      bool await_ready() const noexcept { return promise.done(); }
      [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> caller) noexcept {
        // Before another thread can resume the caller.
        waiting = caller;
        return promise.wait(caller);
      }
      T await_resume() {
        waiting = nullptr;
        return promise.take();
      }
    };
    return Awaiter(coroutine_.promise());
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace kevent

#endif  // KEVENT_TASK_HPP_
