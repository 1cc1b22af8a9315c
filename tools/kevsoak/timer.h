// SPDX-License-Identifier: MIT
//
// One of the timers, and what armers and collectors know of it.

#ifndef KEVENT_TOOLS_KEVSOAK_TIMER_H_
#define KEVENT_TOOLS_KEVSOAK_TIMER_H_

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace kevsoak {

inline constexpr int64_t kSecond = 1'000'000'000;

[[noreturn]] inline void Fail(uint32_t timer, const char* what) {
  std::fprintf(stderr, "kevsoak: timer %u: %s\n", timer, what);
  std::_Exit(1);
}

inline void Check(int result, const char* call) {
  if (result >= 0) return;
  std::fprintf(stderr, "kevsoak: %s: %s\n", call, std::strerror(errno));
  std::_Exit(1);
}

inline int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

enum class Life : uint8_t { kNone, kFar, kNear, kContested };

// Which of the timers made one after the other under a number this is, and how
// many of its settings were reported.
class Reports {
 public:
  uint32_t count() const { return static_cast<uint32_t>(bits_.load(std::memory_order_acquire)); }
  uint32_t incarnation() const { return static_cast<uint32_t>(bits_.load() >> 32); }

  // False when it is an event of an earlier incarnation.
  bool Count(uint32_t incarnation) {
    uint64_t bits = bits_.load();
    do {
      if (bits >> 32 != incarnation) return false;
    } while (!bits_.compare_exchange_weak(bits, bits + 1));
    return true;
  }
  // The count of the one that ends.
  uint32_t NextIncarnation() {
    const uint64_t next = (uint64_t{incarnation()} + 1) << 32;
    return static_cast<uint32_t>(bits_.exchange(next));
  }

 private:
  std::atomic<uint64_t> bits_{0};
};

struct Timer {
  timer_t id;
  Reports reports;
  std::atomic<int64_t> earliest{0};  // when near: no event of it comes before
  std::atomic<Life> life{Life::kNone};
  uint32_t armed = 0;  // near or contested settings of this incarnation
};

}  // namespace kevsoak

#endif  // KEVENT_TOOLS_KEVSOAK_TIMER_H_
