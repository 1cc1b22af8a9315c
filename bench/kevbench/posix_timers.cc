// SPDX-License-Identifier: MIT

#include "bench/kevbench/posix_timers.h"

#include <absl/strings/str_cat.h>
#include <sys/resource.h>

#include <fstream>
#include <string>

#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

// Of the user's signals, of which a timer takes one; other processes of the user's may have some.
rlim_t QueuedSignals() {
  std::ifstream status("/proc/self/status");
  rlim_t queued = 0;
  for (std::string word; status >> word;) {
    if (word == "SigQ:" && status >> queued) break;
  }
  return queued;
}

}  // namespace

absl::Status PosixTimers::Reserve(size_t timers) {
  rlimit limit;
  Check(getrlimit(RLIMIT_SIGPENDING, &limit) == 0, "getrlimit");
  if (timers > limit.rlim_cur) {
    return absl::ResourceExhaustedError(absl::StrCat("RLIMIT_SIGPENDING ", limit.rlim_cur));
  }
  if (const rlim_t queued = QueuedSignals(); timers + queued > limit.rlim_cur) {
    return absl::ResourceExhaustedError(absl::StrCat("signals queued elsewhere: ", queued));
  }
  if (timers > kHeavy) {
    if (const absl::string_view why = why_not_many(); !why.empty()) {
      return absl::ResourceExhaustedError(why);
    }
  }
  timers_.resize(timers);
  return absl::OkStatus();
}

void PosixTimers::Create(size_t timer) {
  sigevent event = {};
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(timer);
  Describe(&event);
  Check(timer_create(CLOCK_MONOTONIC, &event, &timers_[timer]) == 0, "timer_create");
}

void PosixTimers::Delete(size_t timer) { Check(timer_delete(timers_[timer]) == 0, "timer_delete"); }

void PosixTimers::Set(size_t timer, int flags, Nanoseconds value, Nanoseconds interval) {
  const itimerspec setting = {.it_interval = ToTimespec(interval), .it_value = ToTimespec(value)};
  Check(timer_settime(timers_[timer], flags, &setting, nullptr) == 0, "timer_settime");
}

BlockedSignal::BlockedSignal(int signal) {
  sigemptyset(&set_);
  sigaddset(&set_, signal);
  Check(pthread_sigmask(SIG_BLOCK, &set_, nullptr) == 0, "pthread_sigmask");
}

BlockedSignal::~BlockedSignal() {
  const timespec none = {};
  while (sigtimedwait(&set_, nullptr, &none) > 0) {
  }
  pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
}

}  // namespace kevbench
