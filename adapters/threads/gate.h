// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_THREADS_GATE_H_
#define KEVENT_ADAPTERS_THREADS_GATE_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace kevent::threads {

// Closed while a call of the program submits an operation, and the control block holds what is not
// the program's: the callback, which may free the block, waits for it to be opened.
class Gate {
 public:
  // A child of fork may find it closed by a call of its parent's.
  void Init() { state_.store(kOpen, std::memory_order_relaxed); }
  void Close() { state_.store(kClosed, std::memory_order_relaxed); }

  void Open() {
    if (state_.exchange(kOpen, std::memory_order_release) != kAwaited) return;
    syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }

  bool is_open() const { return state_.load(std::memory_order_acquire) == kOpen; }

  void Await() {
    uint32_t state = kClosed;
    state_.compare_exchange_strong(state, kAwaited, std::memory_order_relaxed);
    while (!is_open()) {
      syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, kAwaited, nullptr, nullptr, 0);
    }
  }

 private:
  static constexpr uint32_t kOpen = 0;
  static constexpr uint32_t kClosed = 1;
  static constexpr uint32_t kAwaited = 2;

  std::atomic<uint32_t> state_;
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_GATE_H_
