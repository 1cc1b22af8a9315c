// SPDX-License-Identifier: MIT
//
// What has expired, how often and how late.

#ifndef KEVENT_BENCH_KEVBENCH_RECORDER_H_
#define KEVENT_BENCH_KEVBENCH_RECORDER_H_

#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kevbench {

using Nanoseconds = int64_t;
inline constexpr Nanoseconds kMicrosecond = 1'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSecond = 1'000'000'000;

inline Nanoseconds ReadClock(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}
inline Nanoseconds Now() { return ReadClock(CLOCK_MONOTONIC); }

// Counts are written by one thread at a time, or by a signal handler of it, and
// may be read by others.
class Recorder {
 public:
  explicit Recorder(size_t timers) : counts_(timers) {}

  // Lateness is looked at for one expiry in `one_in` (a power of two), against
  // what DueAt says; the others only count.
  void Sample(size_t one_in, size_t samples) {
    mask_ = one_in - 1;
    due_.resize(counts_.size());
    lateness_.reserve(samples);
    sampling_ = true;
  }
  void DueAt(size_t timer, Nanoseconds deadline) { due_[timer] = deadline; }
  void Every(Nanoseconds interval) { interval_ = interval; }

  // `times` more expirations of a timer are known.  Async-signal-safe.
  void Fired(size_t timer, uint64_t times) {
    Add(counts_[timer], times);
    Add(total_, times);
    Add(records_, 1);
    if (!sampling_) return;
    const Nanoseconds due = due_[timer] + static_cast<Nanoseconds>(times - 1) * interval_;
    due_[timer] = due + interval_;
    if ((++seen_ & mask_) == 0 && lateness_.size() < lateness_.capacity()) {
      lateness_.push_back(Now() - due);
    }
  }

  uint64_t count(size_t timer) const { return counts_[timer].load(std::memory_order_relaxed); }
  uint64_t total() const { return total_.load(std::memory_order_acquire); }
  // One for each call of Fired.
  uint64_t records() const { return records_.load(std::memory_order_relaxed); }
  const std::vector<Nanoseconds>& lateness() const { return lateness_; }

 private:
  static void Add(std::atomic<uint64_t>& sum, uint64_t times) {
    sum.store(sum.load(std::memory_order_relaxed) + times, std::memory_order_release);
  }

  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<uint64_t> total_{0};
  std::atomic<uint64_t> records_{0};
  bool sampling_ = false;
  size_t mask_ = 0;
  size_t seen_ = 0;
  Nanoseconds interval_ = 0;
  std::vector<Nanoseconds> due_;
  std::vector<Nanoseconds> lateness_;
};

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_RECORDER_H_
