// SPDX-License-Identifier: MIT
//
// libkevent: one queue, batches of 256.

#include <kevent/kevent.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class KeventWay : public Way {
 public:
  explicit KeventWay(Recorder* recorder) : Way(recorder), queue_(kevent_init(nullptr, 0, 0)) {
    Check(queue_ != -1, "kevent_init");
  }
  ~KeventWay() override { close(queue_); }

  Periods periods() const override { return Periods::kCounted; }
  bool arms_in_threads() const override { return true; }

  absl::Status Reserve(size_t timers) override {
    timers_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override {
    sigevent event;
    kevent_sigevent(&event, queue_, reinterpret_cast<void*>(timer));
    Check(timer_create(CLOCK_MONOTONIC, &event, &timers_[timer]) == 0,
          "timer_create, SIGEV_KEVENT");
  }
  void Delete(size_t timer) override {
    Check(timer_delete(timers_[timer]) == 0, "timer_delete, SIGEV_KEVENT");
  }

  void ArmIn(size_t timer, Nanoseconds ahead) override { Set(timer, 0, ahead, 0); }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Set(timer, TIMER_ABSTIME, deadline, 0);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    Set(timer, TIMER_ABSTIME, first, interval);
  }
  void Disarm(size_t timer) override { Set(timer, 0, 0, 0); }

  void Collect() override { Get(0); }
  void Wait() override { Get(1); }

 protected:
  int Get(unsigned int least) {
    std::array<ukevent, kBatch> events;
    const int count = kevent_get_events(queue_, least, kBatch, nullptr, events.data(), 0);
    Check(count >= 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      Fired(reinterpret_cast<size_t>(events[i].ptr), uint64_t{events[i].ret_data[0]} + 1);
    }
    return count;
  }

  virtual void Set(size_t timer, int flags, Nanoseconds value, Nanoseconds interval) {
    const itimerspec setting = {.it_interval = ToTimespec(interval), .it_value = ToTimespec(value)};
    Check(timer_settime(timers_[timer], flags, &setting, nullptr) == 0,
          "timer_settime, SIGEV_KEVENT");
  }

  timer_t timer_at(size_t timer) const { return timers_[timer]; }

 private:
  const int queue_;
  std::vector<timer_t> timers_;
};

// Looks each millisecond, as a program does that rather saves than hurries.
class EachMillisecondWay final : public KeventWay {
 public:
  using KeventWay::KeventWay;

  void Wait() override {
    const timespec next = ToTimespec((Now() / kMillisecond + 1) * kMillisecond);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    while (Get(0) == kBatch) {
    }
  }
};

// Sets the timers between two collections in one call.
class BatchesWay final : public KeventWay {
 public:
  using KeventWay::KeventWay;

  void Collect() override {
    Flush();
    KeventWay::Collect();
  }
  void Wait() override {
    Flush();
    KeventWay::Wait();
  }

 protected:
  void Set(size_t timer, int flags, Nanoseconds value, Nanoseconds interval) override {
    if (count_ == settings_.size()) Flush();
    settings_[count_++] = {
        .timer = timer_at(timer),
        .flags = flags,
        .error = 0,
        .value = {.it_interval = ToTimespec(interval), .it_value = ToTimespec(value)}};
  }

 private:
  void Flush() {
    Check(kevent_settime(count_, settings_.data()) == static_cast<int>(count_), "kevent_settime");
    count_ = 0;
  }

  std::array<kevent_setting, kBatch> settings_{};
  unsigned int count_ = 0;
};

}  // namespace

std::unique_ptr<Way> MakeKeventBatches(Recorder* recorder) {
  return std::make_unique<BatchesWay>(recorder);
}

std::unique_ptr<Way> MakeKeventEachMillisecond(Recorder* recorder) {
  return std::make_unique<EachMillisecondWay>(recorder);
}

std::unique_ptr<Way> MakeKevent(Recorder* recorder) {
  return std::make_unique<KeventWay>(recorder);
}

}  // namespace kevbench
