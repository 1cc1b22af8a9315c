// SPDX-License-Identifier: MIT
#ifndef KEVENT_WATCH_HPP_
#define KEVENT_WATCH_HPP_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <kevent/queue.hpp>
#include <system_error>
#include <utility>

namespace kevent {

// When a descriptor is reported: as long as it is ready, once for each activity, or once until
// modify().  When several threads run the queue, kLevel reports to the next thread what the first
// still reads.
enum class Trigger : std::uint32_t {
  kLevel = 0,
  kEdge = KEVENT_REQ_ET,
  kOnce = KEVENT_REQ_DISPATCH,
};

namespace detail {

// A kevent of kevent_ctl(3): registered by the constructor, removed by the destructor.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept
      : home_(std::move(other.home_)),
        request_(other.request_),
        forks_(other.forks_),
        slot_(std::move(other.slot_)) {}
  Watch& operator=(Watch&& other) noexcept {
    if (this == &other) return *this;
    remove(true);
    home_ = std::move(other.home_);
    request_ = other.request_;
    forks_ = other.forks_;
    slot_ = std::move(other.slot_);
    return *this;
  }
  // Waits while another thread runs its callback, and not in the callback itself.
  ~Watch() { remove(true); }
  // The same, but never waits: the callback is destroyed when it has returned, and must not use the
  // watch meanwhile.
  void abandon() noexcept { remove(false); }

  // True while the watch is registered, and after its only event was reported.
  explicit operator bool() const noexcept { return static_cast<bool>(home_); }

 protected:
  template <class View, class H>
  void open(const Queue& queue, ukevent request, H&& handler, std::error_code& error) {
    request.ptr = receive<View>(queue.slots(), std::forward<H>(handler), slot_, error);
    if (!error && queue.slots() == nullptr) error = error_of(EBADF);
    if (error) return;
    request_ = request;
    home_ = SlotsRef(*queue.slots());
    forks_ = forks.load(std::memory_order_relaxed);
    error = control(KEVENT_CTL_ADD);
    if (error) {
      home_ = SlotsRef();
      slot_.reset();
    }
  }

  // The error of the call or of the entry.  A copy goes in: results are written to it.
  std::error_code control(unsigned command) const noexcept {
    ukevent entry = request_;
    if (kevent_ctl(home_.fd(), command, 1, &entry) == -1) return last_error();
    if ((entry.ret_flags & KEVENT_RET_BROKEN) == 0) return {};
    return error_of(-static_cast<int>(entry.ret_data[1]));
  }

  void renew() const noexcept { slot_.renew(); }

  SlotsRef home_;
  ukevent request_ = {};

 private:
  void remove(bool wait) noexcept {
    // First its callback, which may change the watch until it has returned.
    slot_.reset(wait);
    // In a child of fork the kevent is gone with the parent's queue.
    if (home_ && forks_ == forks.load(std::memory_order_relaxed)) control(KEVENT_CTL_REMOVE);
    home_ = SlotsRef();
  }

  std::uint32_t forks_ = 0;
  SlotOwner slot_;
};

inline ukevent request_of(std::uint32_t type, std::uint32_t event, std::uint64_t id,
                          std::uint32_t flags) noexcept {
  ukevent request = {};
  request.id.raw_u64 = id;
  request.type = type;
  request.event = event;
  request.req_flags = flags;
  return request;
}

// The descriptor, and a source that is ready already comes by the queue.
inline ukevent request_of(int fd, Interest interest, std::uint32_t flags) noexcept {
  return request_of(KEVENT_POLL, static_cast<std::uint32_t>(interest),
                    static_cast<std::uint32_t>(fd), flags | KEVENT_REQ_ALWAYS_QUEUE);
}
inline ukevent request_of_signal(int signal, std::uint32_t flags) noexcept {
  // A negative number is none, and KEVENT_SIGNAL_NOMASK is not meant.
  return request_of(KEVENT_SIGNAL, KEVENT_SIGNAL_DELIVERY, static_cast<std::uint32_t>(signal),
                    flags);
}
inline ukevent request_of_process(pid_t process) noexcept {
  return request_of(KEVENT_PROCESS, KEVENT_PROCESS_EXIT, static_cast<std::uint32_t>(process), 0);
}

}  // namespace detail

// Watches a descriptor that can be polled: kevent_poll(7).  The descriptor remains the program's,
// and should outlive the watch.  A callback takes a const Readiness&, or nothing.
class DescriptorWatch : public detail::Watch {
 public:
  DescriptorWatch() = default;
  template <HandlerFor<Readiness> H>
  DescriptorWatch(const Queue& queue, int fd, Interest interest, H&& handler,
                  Trigger trigger = Trigger::kLevel) {
    std::error_code error;
    open<Readiness>(queue, detail::request_of(fd, interest, static_cast<std::uint32_t>(trigger)),
                    std::forward<H>(handler), error);
    detail::check(error, "kevent_ctl");
  }
  template <HandlerFor<Readiness> H>
  DescriptorWatch(const Queue& queue, int fd, Interest interest, H&& handler, Trigger trigger,
                  std::error_code& error) {
    open<Readiness>(queue, detail::request_of(fd, interest, static_cast<std::uint32_t>(trigger)),
                    std::forward<H>(handler), error);
  }

  // Waits for this from now on, also one that has reported, or is paused.
  void modify(Interest interest) {
    detail::check(change(static_cast<std::uint32_t>(interest)), "kevent_ctl");
  }
  void modify(Interest interest, std::error_code& error) noexcept {
    error = change(static_cast<std::uint32_t>(interest));
  }
  // Reports nothing until modify(), which loses nothing of what has come.
  void pause() { detail::check(change(KEVENT_MASK_EMPTY), "kevent_ctl"); }
  void pause(std::error_code& error) noexcept { error = change(KEVENT_MASK_EMPTY); }

 private:
  std::error_code change(std::uint32_t event) noexcept {
    request_.event = event;
    renew();
    return control(KEVENT_CTL_MODIFY);
  }
};

// Takes a signal that the program has blocked in all of its threads: kevent_signal(7).
// A callback takes a const SignalReceipt&, or nothing.
class SignalWatch : public detail::Watch {
 public:
  SignalWatch() = default;
  template <HandlerFor<SignalReceipt> H>
  SignalWatch(const Queue& queue, int signal, H&& handler) {
    std::error_code error;
    open<SignalReceipt>(queue, detail::request_of_signal(signal, 0), std::forward<H>(handler),
                        error);
    detail::check(error, "kevent_ctl");
  }
  template <HandlerFor<SignalReceipt> H>
  SignalWatch(const Queue& queue, int signal, H&& handler, std::error_code& error) {
    open<SignalReceipt>(queue, detail::request_of_signal(signal, 0), std::forward<H>(handler),
                        error);
  }
};

// Reports the end of a process, once: kevent_process(7).  A child is still to be reaped.
// A callback takes a const ProcessExit&, or nothing.
class ProcessWatch : public detail::Watch {
 public:
  ProcessWatch() = default;
  template <HandlerFor<ProcessExit> H>
  ProcessWatch(const Queue& queue, pid_t process, H&& handler) {
    std::error_code error;
    open<ProcessExit>(queue, detail::request_of_process(process), std::forward<H>(handler), error);
    detail::check(error, "kevent_ctl");
  }
  template <HandlerFor<ProcessExit> H>
  ProcessWatch(const Queue& queue, pid_t process, H&& handler, std::error_code& error) {
    open<ProcessExit>(queue, detail::request_of_process(process), std::forward<H>(handler), error);
  }
};

// An event of the program's own, made ready by notify(): kevent_unotify(7).
// A callback takes a const Notification&, or nothing.
class UserEvent : public detail::Watch {
 public:
  UserEvent() = default;
  template <HandlerFor<Notification> H>
  UserEvent(const Queue& queue, H&& handler, std::uint64_t id = 0) {
    std::error_code error;
    open<Notification>(queue, request_of(id), std::forward<H>(handler), error);
    detail::check(error, "kevent_ctl");
  }
  template <HandlerFor<Notification> H>
  UserEvent(const Queue& queue, H&& handler, std::uint64_t id, std::error_code& error) {
    open<Notification>(queue, request_of(id), std::forward<H>(handler), error);
  }

  // Several calls before the collection make one event.  Async-signal-safe.
  void notify() const noexcept { control(KEVENT_CTL_READY); }

 private:
  static ukevent request_of(std::uint64_t id) noexcept {
    return detail::request_of(KEVENT_UNOTIFY, KEVENT_UNOTIFY_EVENT, id, 0);
  }
};

}  // namespace kevent

#endif  // KEVENT_WATCH_HPP_
