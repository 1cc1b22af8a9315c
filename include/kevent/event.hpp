// SPDX-License-Identifier: MIT
//
// Views of a struct ukevent: its members by name, with their types.  Each is what a callback
// of that kind may take, and what co_await returns; a program that collects into a span makes
// one of the event in hand.
#ifndef KEVENT_EVENT_HPP_
#define KEVENT_EVENT_HPP_

#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <kevent/error.hpp>
#include <optional>
#include <system_error>
#include <type_traits>

namespace kevent {

// A timer has expired.
struct Expiration {
  explicit Expiration(const ukevent& event) noexcept
      : overruns(event.ret_data[0]), lateness(event.ret_data[1]) {}

  std::uint32_t overruns;             // expirations after the first that this event stands for
  std::chrono::nanoseconds lateness;  // from the last expiration to its collection; saturates
};

// The events of a descriptor that a watch waits for: the bits of poll(2).
enum class Interest : std::uint32_t {
  kRead = KEVENT_POLL_POLLIN,
  kWrite = KEVENT_POLL_POLLOUT,
  kUrgent = KEVENT_POLL_POLLPRI,
  kReadHangUp = KEVENT_POLL_POLLRDHUP,
};

constexpr Interest operator|(Interest one, Interest other) noexcept {
  return static_cast<Interest>(static_cast<std::uint32_t>(one) | static_cast<std::uint32_t>(other));
}

// A descriptor is ready.
struct Readiness {
  explicit Readiness(const ukevent& event) noexcept
      : fd(static_cast<int>(event.id.raw[0])), bits(event.ret_data[0]) {}

  bool is(Interest interest) const noexcept {
    return (bits & static_cast<std::uint32_t>(interest)) != 0;
  }
  bool error() const noexcept { return (bits & KEVENT_POLL_POLLERR) != 0; }
  bool hang_up() const noexcept { return (bits & KEVENT_POLL_POLLHUP) != 0; }

  int fd;
  std::uint32_t bits;  // as poll(2) has them in revents
};

// A signal was taken from the process.
struct SignalReceipt {
  explicit SignalReceipt(const ukevent& event) noexcept
      : signal(static_cast<int>(event.id.raw[0])),
        count(event.ret_data[0]),
        sender(static_cast<pid_t>(event.ret_data[1])) {}

  int signal;
  std::uint32_t count;  // instances taken, at most 16
  pid_t sender;         // of the last of them
};

// A process has ended; a child is still to be reaped.
struct ProcessExit {
  explicit ProcessExit(const ukevent& event) noexcept : pid(static_cast<pid_t>(event.id.raw[0])) {
    if ((event.ret_flags & KEVENT_RET_NO_STATUS) == 0) status = static_cast<int>(event.ret_data[0]);
  }

  pid_t pid;
  std::optional<int> status;  // as waitpid(2) has it; none for a process that is no child
};

// UserEvent::notify() was called, once or more often.
struct Notification {
  explicit Notification(const ukevent& /*event*/) noexcept {}
};

// An asynchronous operation has ended.
struct Completion {
  explicit Completion(const ukevent& event) noexcept
      : bytes(event.ret_data[1] == 0 ? event.ret_data[0] : 0),
        error(detail::error_of(static_cast<int>(event.ret_data[1]))) {}

  std::size_t bytes;
  std::error_code error;  // errc::operation_canceled of one that was cancelled
};

// The handler of an object's events is a cookie, which ukevent.ptr brings back, or a callback that
// takes the view, or nothing.
template <class F, class View>
concept CallbackFor = std::invocable < std::decay_t<F>
&, const View& > || std::invocable<std::decay_t<F>&>;
template <class T>
concept Cookie = std::is_convertible_v<T, void*>;
template <class T, class View>
concept HandlerFor = Cookie<T> || CallbackFor<T, View>;

}  // namespace kevent

#endif  // KEVENT_EVENT_HPP_
