// SPDX-License-Identifier: MIT
//
// A way to wait for timers: what every peer of the benchmark can do, and who is
// told of what has expired.

#ifndef KEVENT_BENCH_KEVBENCH_WAY_H_
#define KEVENT_BENCH_KEVBENCH_WAY_H_

#include <absl/status/status.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

#include "bench/kevbench/recorder.h"

namespace kevbench {

// As many as are collected at once, and armed between two collections.
inline constexpr size_t kBatch = 256;

// More timers than this take seconds to make.
inline constexpr size_t kHeavy = 20'000;

// What becomes of the periods of a periodic timer that could not be reported singly.
enum class Periods {
  kCounted,   // they are reported as overruns
  kCaughtUp,  // they are reported late, each by itself
  kLost,
};

// Timers 0 to n-1 on CLOCK_MONOTONIC.  An object is used by one thread, unless
// arms_in_threads().  A failing call of the peer's ends the program.
class Way {
 public:
  explicit Way(Recorder* recorder) : recorder_(recorder) {}
  virtual ~Way() = default;
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

  // Whether timers may be armed in one thread and collected in another.
  virtual bool arms_in_threads() const { return false; }
  // Whether an object may be made and used by another thread than the program's first.
  virtual bool any_thread() const { return true; }
  // Whether a timer is anything before it is armed.
  virtual bool has_timer_objects() const { return true; }

  virtual Periods periods() const { return Periods::kLost; }

  // Makes room for so many; the error says which limit is in the way.
  virtual absl::Status Reserve(size_t timers) = 0;
  virtual void Create(size_t timer) = 0;
  // A disarmed one or an armed one.
  virtual void Delete(size_t timer) = 0;
  // After a series of deletions, before the next creation.
  virtual void Deleted() {}

  // Before a series of armings: for loops that keep the time of their last turn.
  virtual void TakeTime() {}
  // From now, or from the loop's time.
  virtual void ArmIn(size_t timer, Nanoseconds ahead) = 0;
  virtual void ArmAt(size_t timer, Nanoseconds deadline) = 0;
  virtual void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) = 0;
  virtual void Disarm(size_t timer) = 0;
  // Periodic timers may be stopped then, by a way that could not do it later.
  virtual void EndAt(Nanoseconds /*time*/) {}

  // Reports what is due, kBatch at least if as many are, without waiting.
  virtual void Collect() = 0;
  // The same, but sleeps while nothing is due.
  virtual void Wait() = 0;

 protected:
  Recorder* recorder() const { return recorder_; }
  void Fired(size_t timer, uint64_t times) { recorder_->Fired(timer, times); }

 private:
  Recorder* const recorder_;
};

inline timespec ToTimespec(Nanoseconds time) {
  return {.tv_sec = time / kSecond, .tv_nsec = time % kSecond};
}

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_WAY_H_
