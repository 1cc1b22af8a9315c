// SPDX-License-Identifier: MIT
//
// POSIX timers of the kernel's; what collects them derives from this.

#ifndef KEVENT_BENCH_KEVBENCH_POSIX_TIMERS_H_
#define KEVENT_BENCH_KEVBENCH_POSIX_TIMERS_H_

#include <absl/strings/string_view.h>
#include <signal.h>
#include <time.h>

#include <vector>

#include "bench/kevbench/way.h"

namespace kevbench {

class PosixTimers : public Way {
 public:
  explicit PosixTimers(Recorder* recorder) : Way(recorder) {}
  Periods periods() const override { return Periods::kCounted; }
  absl::Status Reserve(size_t timers) override;
  void Create(size_t timer) override;
  void Delete(size_t timer) override;
  void ArmIn(size_t timer, Nanoseconds ahead) override { Set(timer, 0, ahead, 0); }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Set(timer, TIMER_ABSTIME, deadline, 0);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    Set(timer, TIMER_ABSTIME, first, interval);
  }
  void Disarm(size_t timer) override { Set(timer, 0, 0, 0); }

 protected:
  // Why more than kHeavy timers are not measured this way.
  virtual absl::string_view why_not_many() const { return ""; }
  // How it is told.  The timer's number goes into sigev_value.sival_ptr.
  virtual void Describe(sigevent* event) = 0;

 private:
  void Set(size_t timer, int flags, Nanoseconds value, Nanoseconds interval);

  std::vector<timer_t> timers_;
};

// A set of that one signal, blocked in this thread for the object's life; when it
// ends, what is pending is forgotten.
class BlockedSignal {
 public:
  explicit BlockedSignal(int signal);
  ~BlockedSignal();
  BlockedSignal(const BlockedSignal&) = delete;
  BlockedSignal& operator=(const BlockedSignal&) = delete;

  const sigset_t* set() const { return &set_; }

 private:
  sigset_t set_;
};

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_POSIX_TIMERS_H_
