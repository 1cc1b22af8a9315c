// SPDX-License-Identifier: MIT
//
// A timerfd for each timer, all in one epoll.  Edge-triggered, so that an expiry
// need not be read before the timer is armed again; a periodic one must be read,
// which is when the kernel starts its next period.

#include <absl/strings/str_cat.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class TimerfdWay final : public Way {
 public:
  explicit TimerfdWay(Recorder* recorder) : Way(recorder), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    Check(epoll_ != -1, "epoll_create1");
  }
  ~TimerfdWay() override { close(epoll_); }

  Periods periods() const override { return Periods::kCounted; }
  bool arms_in_threads() const override { return true; }

  absl::Status Reserve(size_t timers) override {
    constexpr size_t kOthers = 100;
    rlimit limit;
    Check(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    if (timers + kOthers > limit.rlim_cur) {
      return absl::ResourceExhaustedError(absl::StrCat("RLIMIT_NOFILE ", limit.rlim_cur));
    }
    fds_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override {
    fds_[timer] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    Check(fds_[timer] != -1, "timerfd_create");
    epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u64 = timer}};
    Check(epoll_ctl(epoll_, EPOLL_CTL_ADD, fds_[timer], &event) == 0, "epoll_ctl");
  }
  void Delete(size_t timer) override { Check(close(fds_[timer]) == 0, "close"); }

  void ArmIn(size_t timer, Nanoseconds ahead) override { Set(timer, 0, ahead, 0); }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Set(timer, TFD_TIMER_ABSTIME, deadline, 0);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    periodic_ = true;
    Set(timer, TFD_TIMER_ABSTIME, first, interval);
  }
  void Disarm(size_t timer) override { Set(timer, 0, 0, 0); }

  void Collect() override { Turn(0); }
  void Wait() override { Turn(-1); }

 private:
  void Set(size_t timer, int flags, Nanoseconds value, Nanoseconds interval) {
    const itimerspec setting = {.it_interval = ToTimespec(interval), .it_value = ToTimespec(value)};
    Check(timerfd_settime(fds_[timer], flags, &setting, nullptr) == 0, "timerfd_settime");
  }

  void Turn(int timeout) {
    std::array<epoll_event, kBatch> events;
    const int count = epoll_wait(epoll_, events.data(), kBatch, timeout);
    for (int i = 0; i < count; ++i) {
      uint64_t times = 1;
      const size_t timer = events[i].data.u64;
      if (periodic_ && read(fds_[timer], &times, sizeof times) != sizeof times) {
        Check(errno == EAGAIN, "read of a timerfd");
        continue;
      }
      Fired(timer, times);
    }
  }

  const int epoll_;
  bool periodic_ = false;
  std::vector<int> fds_;
};

}  // namespace

std::unique_ptr<Way> MakeTimerfdEpoll(Recorder* recorder) {
  return std::make_unique<TimerfdWay>(recorder);
}

}  // namespace kevbench
