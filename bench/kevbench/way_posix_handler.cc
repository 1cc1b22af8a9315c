// SPDX-License-Identifier: MIT
//
// POSIX timers, a signal each, taken by a handler.

#include <csignal>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/posix_timers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

int Signal() { return SIGRTMIN + 2; }

class HandlerWay;
HandlerWay* the_way = nullptr;

class HandlerWay final : public PosixTimers {
 public:
  explicit HandlerWay(Recorder* recorder) : PosixTimers(recorder) {
    the_way = this;
    struct sigaction action = {};
    action.sa_sigaction = Handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    Check(sigaction(Signal(), &action, nullptr) == 0, "sigaction");
  }
  ~HandlerWay() override {
    const BlockedSignal forget(Signal());
    the_way = nullptr;
  }

  // Those of periods that it had no time for are lost at the end.
  Periods periods() const override { return Periods::kCaughtUp; }
  void EndAt(Nanoseconds time) override { end_ = time; }

  // The handlers have run when timer_settime returns or the kernel sees fit.
  void Collect() override {}
  void Wait() override {
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, Signal());
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    if (seen_ == recorder()->records()) sigsuspend(&before);
    seen_ = recorder()->records();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

 private:
  void Describe(sigevent* event) override {
    event->sigev_notify = SIGEV_SIGNAL;
    event->sigev_signo = Signal();
  }
  static void Handle(int /*signal*/, siginfo_t* info, void* /*context*/) {
    if (the_way == nullptr) return;
    const auto timer = reinterpret_cast<size_t>(info->si_value.sival_ptr);
    the_way->Fired(timer, static_cast<uint64_t>(info->si_overrun) + 1);
    // When signals come faster than they are handled, nothing but the handler runs
    // any more, and who would disarm the timers does not.
    if (the_way->end_ != 0 && Now() > the_way->end_) the_way->Disarm(timer);
  }

  uint64_t seen_ = 0;
  Nanoseconds end_ = 0;
};

}  // namespace

std::unique_ptr<Way> MakePosixHandler(Recorder* recorder) {
  return std::make_unique<HandlerWay>(recorder);
}

}  // namespace kevbench
