// SPDX-License-Identifier: MIT
//
// POSIX timers, a signal each, taken by sigwaitinfo.

#include <csignal>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/posix_timers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class SigwaitinfoWay final : public PosixTimers {
 public:
  explicit SigwaitinfoWay(Recorder* recorder) : PosixTimers(recorder), signal_(SIGRTMIN + 1) {}

  bool arms_in_threads() const override { return true; }

  void Collect() override {
    const timespec none = {};
    siginfo_t info;
    for (size_t i = 0; i < kBatch && sigtimedwait(signal_.set(), &info, &none) > 0; ++i) {
      Take(info);
    }
  }
  void Wait() override {
    siginfo_t info;
    if (sigwaitinfo(signal_.set(), &info) > 0) Take(info);
  }

 private:
  void Describe(sigevent* event) override {
    event->sigev_notify = SIGEV_SIGNAL;
    event->sigev_signo = SIGRTMIN + 1;
  }
  void Take(const siginfo_t& info) {
    Fired(reinterpret_cast<size_t>(info.si_value.sival_ptr),
          static_cast<uint64_t>(info.si_overrun) + 1);
  }

  BlockedSignal signal_;
};

}  // namespace

std::unique_ptr<Way> MakePosixSigwaitinfo(Recorder* recorder) {
  return std::make_unique<SigwaitinfoWay>(recorder);
}

}  // namespace kevbench
