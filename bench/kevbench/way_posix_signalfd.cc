// SPDX-License-Identifier: MIT
//
// POSIX timers, a signal each, taken by the hundred from a signalfd.

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/posix_timers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class SignalfdWay final : public PosixTimers {
 public:
  explicit SignalfdWay(Recorder* recorder)
      : PosixTimers(recorder),
        signal_(SIGRTMIN + 3),
        fd_(signalfd(-1, signal_.set(), SFD_NONBLOCK | SFD_CLOEXEC)) {
    Check(fd_ != -1, "signalfd");
  }
  ~SignalfdWay() override { close(fd_); }

  void Collect() override { Read(); }
  void Wait() override {
    pollfd readable = {.fd = fd_, .events = POLLIN, .revents = 0};
    if (!Read() && poll(&readable, 1, -1) == 1) Read();
  }

 private:
  void Describe(sigevent* event) override {
    event->sigev_notify = SIGEV_SIGNAL;
    event->sigev_signo = SIGRTMIN + 3;
  }
  bool Read() {
    std::array<signalfd_siginfo, kBatch> infos;
    const ssize_t got = read(fd_, infos.data(), sizeof infos);
    if (got <= 0) return false;
    for (size_t i = 0; i < static_cast<size_t>(got) / sizeof infos[0]; ++i) {
      Fired(infos[i].ssi_ptr, uint64_t{infos[i].ssi_overrun} + 1);
    }
    return true;
  }

  BlockedSignal signal_;
  const int fd_;
};

}  // namespace

std::unique_ptr<Way> MakePosixSignalfd(Recorder* recorder) {
  return std::make_unique<SignalfdWay>(recorder);
}

}  // namespace kevbench
