// SPDX-License-Identifier: MIT
//
// POSIX timers with SIGEV_THREAD: the C library starts a thread an expiry.

#include <absl/synchronization/mutex.h>

#include <csignal>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/posix_timers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class ThreadWay;
// Threads may come after the timer was deleted, and find the next way's timers:
// so what they find is never freed, and a timer's cookie has the way's number.
absl::Mutex the_mutex(absl::kConstInit);
ThreadWay* the_way = nullptr;
uintptr_t ways = 0;
constexpr int kTimerBits = 32;

class ThreadWay final : public PosixTimers {
 public:
  explicit ThreadWay(Recorder* recorder) : PosixTimers(recorder) {
    const absl::MutexLock lock(&the_mutex);
    the_way = this;
    number_ = ++ways;
  }
  ~ThreadWay() override {
    const absl::MutexLock lock(&the_mutex);
    the_way = nullptr;
  }

  // timer_getoverrun speaks of the last signal, whose thread this may not be: nobody
  // knows which expirations a thread stands for.
  Periods periods() const override { return Periods::kLost; }

  void Collect() override { seen_ = recorder()->records(); }
  void Wait() override {
    const absl::MutexLock lock(&the_mutex);
    the_mutex.Await(absl::Condition(this, &ThreadWay::HasNew));
    seen_ = recorder()->records();
  }

 private:
  bool HasNew() { return recorder()->records() != seen_; }
  // The C library keeps these in a list, and walks it to delete one.
  absl::string_view why_not_many() const override { return "linear search"; }
  void Describe(sigevent* event) override {
    event->sigev_notify = SIGEV_THREAD;
    event->sigev_notify_function = Run;
    const auto timer = reinterpret_cast<uintptr_t>(event->sigev_value.sival_ptr);
    event->sigev_value.sival_ptr = reinterpret_cast<void*>(number_ << kTimerBits | timer);
  }
  static void Run(sigval value) {
    const absl::MutexLock lock(&the_mutex);
    const auto cookie = reinterpret_cast<uintptr_t>(value.sival_ptr);
    if (the_way == nullptr || the_way->number_ != cookie >> kTimerBits) return;
    the_way->Fired(static_cast<uint32_t>(cookie), 1);
  }

  uintptr_t number_;
  uint64_t seen_ = 0;
};

}  // namespace

std::unique_ptr<Way> MakePosixThread(Recorder* recorder) {
  return std::make_unique<ThreadWay>(recorder);
}

}  // namespace kevbench
