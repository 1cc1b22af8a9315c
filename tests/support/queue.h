// SPDX-License-Identifier: MIT
//
// Queues and timers that tests hold by value, and collecting from them.

#ifndef KEVENT_TESTS_SUPPORT_QUEUE_H_
#define KEVENT_TESTS_SUPPORT_QUEUE_H_

#include <gtest/gtest.h>
#include <kevent/kevent.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "tests/support/clock.h"

namespace kevent_test {

class Queue {
 public:
  Queue() : fd_(kevent_init(nullptr, 0, 0)) {
    EXPECT_GE(fd_, 0) << "kevent_init: " << std::strerror(errno);
  }
  ~Queue() { Close(); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  int fd() const { return fd_; }

  void Close() {
    if (fd_ >= 0) {
      EXPECT_EQ(close(fd_), 0) << std::strerror(errno);
    }
    fd_ = -1;
  }
  // From here on somebody else closes it.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class Timer {
 public:
  Timer(int queue, uintptr_t cookie, clockid_t clock = CLOCK_MONOTONIC) {
    sigevent request;
    kevent_sigevent(&request, queue, reinterpret_cast<void*>(cookie));
    live_ = timer_create(clock, &request, &id_) == 0;
    EXPECT_TRUE(live_) << "timer_create: " << std::strerror(errno);
  }
  Timer(Timer&& other) noexcept : id_(other.id_), live_(std::exchange(other.live_, false)) {}
  Timer& operator=(Timer&&) = delete;
  ~Timer() {
    if (live_) {
      EXPECT_EQ(timer_delete(id_), 0) << std::strerror(errno);
    }
  }

  timer_t id() const { return id_; }
  uint64_t id_bits() const { return reinterpret_cast<uint64_t>(id_); }

  void ArmIn(Nanos value, Nanos interval = 0) const { Arm(0, value, interval); }
  void ArmAt(Nanos moment, Nanos interval = 0) const { Arm(TIMER_ABSTIME, moment, interval); }
  // Arms at a moment that any clock has passed.
  void Expire() const { ArmAt(1); }
  void Disarm() const { Arm(0, 0, 0); }

  itimerspec Get() const {
    itimerspec value = {};
    EXPECT_EQ(timer_gettime(id_, &value), 0) << std::strerror(errno);
    return value;
  }

  void Delete() {
    live_ = false;
    EXPECT_EQ(timer_delete(id_), 0) << std::strerror(errno);
  }
  // It was deleted otherwise, or it is another process's.
  void Forget() { live_ = false; }

 private:
  void Arm(int flags, Nanos value, Nanos interval) const {
    const itimerspec setting = Setting(value, interval);
    EXPECT_EQ(timer_settime(id_, flags, &setting, nullptr), 0) << std::strerror(errno);
  }

  timer_t id_ = {};
  bool live_ = false;
};

inline uintptr_t Cookie(const ukevent& event) { return reinterpret_cast<uintptr_t>(event.ptr); }

// No timeout waits for ever.
inline std::vector<ukevent> Collect(int queue, unsigned min, unsigned max,
                                    std::optional<Nanos> timeout = std::nullopt) {
  std::vector<ukevent> events(max);
  const timespec limit = ToTimespec(timeout.value_or(0));
  const int count =
      kevent_get_events(queue, min, max, timeout ? &limit : nullptr, events.data(), 0);
  EXPECT_GE(count, 0) << "kevent_get_events: " << std::strerror(errno);
  events.resize(count < 0 ? 0 : static_cast<size_t>(count));
  return events;
}

inline std::vector<uintptr_t> Cookies(const std::vector<ukevent>& events) {
  std::vector<uintptr_t> cookies;
  cookies.reserve(events.size());
  for (const ukevent& event : events) cookies.push_back(Cookie(event));
  return cookies;
}

// What can be collected without sleeping, all of it.
inline std::vector<uintptr_t> CollectReady(int queue) {
  std::vector<uintptr_t> cookies;
  for (;;) {
    const std::vector<ukevent> events = Collect(queue, 0, 64);
    if (events.empty()) return cookies;
    for (const ukevent& event : events) cookies.push_back(Cookie(event));
  }
}

inline bool Readable(int fd) {
  pollfd descriptor = {fd, POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLIN) != 0;
}

inline void AwaitReadable(int fd) {
  pollfd descriptor = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&descriptor, 1, -1), 1) << std::strerror(errno);
  EXPECT_EQ(descriptor.revents, POLLIN);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_QUEUE_H_
