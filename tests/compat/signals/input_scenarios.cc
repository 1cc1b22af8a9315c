// SPDX-License-Identifier: MIT
//
// What the calls say to bad input, and that they leave errno alone otherwise.

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <string>
#include <thread>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

// Every part of a setting out of range, one at a time; the timer keeps the one
// that it has.
void SettingsOutOfRange(Stage& stage) {
  struct Case {
    const char* name;
    itimerspec setting;
  };
  static constexpr Case kCases[] = {
      {"value.nsec<0", {{0, 0}, {1, -1}}},
      {"value.nsec=10^9", {{0, 0}, {1, 1'000'000'000}}},
      {"value.nsec=max", {{0, 0}, {1, LONG_MAX}}},
      {"value.sec<0", {{0, 0}, {-1, 0}}},
      {"value.sec=min", {{0, 0}, {LONG_MIN, 999'999'999}}},
      {"interval.nsec<0", {{1, -1}, {1, 0}}},
      {"interval.nsec=10^9", {{1, 1'000'000'000}, {1, 0}}},
      {"interval.sec<0", {{-1, 0}, {1, 0}}},
      {"disarm,interval.nsec<0", {{0, -1}, {0, 0}}},
      {"disarm,interval.sec<0", {{-1, 0}, {0, 0}}},
      {"value=0.-1", {{0, 0}, {0, -1}}},
  };
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour, 5);
  for (const Case& c : kCases) {
    for (const int flags : {0, TIMER_ABSTIME}) {
      const int result = stage.Set(timer, flags, &c.setting, nullptr);
      if (flags == 0) {
        stage.Say(c.name, CallResult(result));
      } else if (result != -1 || errno != EINVAL) {
        stage.Say("absolute", CallResult(result));
      }
    }
  }
  stage.SayRemaining("setting", timer, deadline);
}

void NullPointers(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour, 5);
  itimerspec old;
  const itimerspec* volatile no_setting = nullptr;
  itimerspec* volatile nowhere = nullptr;
  stage.Say("timer_settime", CallResult(stage.Set(timer, 0, no_setting, &old)));
  stage.Say("timer_gettime", CallResult(timer_gettime(timer, nowhere)));
  stage.SayRemaining("setting", timer, deadline);
}

void SayEveryCallOn(Stage& stage, timer_t timer) {
  const itimerspec good = kevent_test::Setting(kHour);
  const itimerspec bad = {{0, 0}, {0, -1}};
  const itimerspec* volatile no_setting = nullptr;
  itimerspec* volatile nowhere = nullptr;
  itimerspec value;
  stage.Say("settime", CallResult(stage.Set(timer, 0, &good, &value)));
  stage.Say("settime(bad)", CallResult(stage.Set(timer, 0, &bad, nullptr)));
  stage.Say("settime(NULL)", CallResult(stage.Set(timer, 0, no_setting, nullptr)));
  stage.Say("gettime", CallResult(timer_gettime(timer, &value)));
  stage.Say("gettime(NULL)", CallResult(timer_gettime(timer, nowhere)));
  stage.Say("getoverrun", CallResult(timer_getoverrun(timer)));
  stage.Say("delete", CallResult(timer_delete(timer)));
}

void DeletedTimer(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kHour);
  stage.Delete(timer);
  SayEveryCallOn(stage, timer);
}

void DeletedTimerAndNewOnes(Stage& stage) {
  const timer_t timer = stage.Create();
  stage.Delete(timer);
  const timer_t other = stage.Create();
  const Deadline deadline = stage.ArmIn(other, kHour, 5);
  for (int i = 0; i < 100; ++i) stage.Create();
  SayEveryCallOn(stage, timer);
  stage.SayRemaining("a-newer-timer", other, deadline);
}

void ErrnoOnSuccess(Stage& stage) {
  constexpr int kNoErrno = 12345;
  errno = kNoErrno;
  const timer_t timer = stage.Create();
  stage.ArmIn(timer, kMillisecond);
  Completion completion;
  stage.Collect(&completion);
  itimerspec value;
  timer_gettime(timer, &value);
  timer_getoverrun(timer);
  stage.Disarm(timer);
  stage.Delete(timer);
  stage.Say("errno", errno == kNoErrno ? "untouched" : ErrorName(errno));
}

// A thread with a CPU clock that can be made to end.
class EndingThread {
 public:
  EndingThread()
      : thread_([this] {
          id_ = static_cast<pid_t>(syscall(SYS_gettid));
          while (!end_) usleep(100);
        }) {
    while (id_ == 0) std::this_thread::yield();
    pthread_getcpuclockid(thread_.native_handle(), &clock_);
  }

  clockid_t clock() const { return clock_; }

  // Returns when the kernel has no such thread any more: joining is earlier.
  void End() {
    end_ = true;
    thread_.join();
    const std::string directory = "/proc/self/task/" + std::to_string(id_);
    while (access(directory.c_str(), F_OK) == 0) std::this_thread::yield();
  }

 private:
  std::atomic<pid_t> id_ = 0;
  std::atomic<bool> end_ = false;
  clockid_t clock_ = 0;
  std::thread thread_;
};

void ClockOfEndedThread(Stage& stage) {
  EndingThread thread;
  timer_t armed = {};
  timer_t disarmed = {};
  timer_t deleted = {};
  sigevent request = stage.delivery().Request(1);
  for (timer_t* timer : {&armed, &disarmed, &deleted}) {
    if (timer_create(thread.clock(), &request, timer) != 0) {
      stage.Say("timer_create", ErrorName(errno));
    }
  }
  const itimerspec setting = kevent_test::Setting(kHour, kSecond);
  stage.Set(armed, 0, &setting, nullptr);
  stage.Set(deleted, 0, &setting, nullptr);
  thread.End();

  timer_t late = {};
  const int result = timer_create(thread.clock(), &request, &late);
  stage.Say("timer_create", CallResult(result));
  itimerspec value = {};
  stage.Say("gettime(armed)", CallResult(timer_gettime(armed, &value)));
  stage.Say("remaining", kevent_test::ToNanos(value.it_value) == 0 ? "0" : "some");
  stage.Say("getoverrun", CallResult(timer_getoverrun(armed)));
  stage.Say("settime(armed)", CallResult(stage.Set(armed, 0, &setting, nullptr)));
  stage.Say("settime(disarmed)", CallResult(stage.Set(disarmed, 0, &setting, nullptr)));
  const itimerspec zero = {};
  stage.Say("disarm", CallResult(stage.Set(armed, 0, &zero, nullptr)));
  stage.SayWhatIsLeft("completion");
  stage.Say("delete", CallResult(timer_delete(armed)));
  stage.Say("delete", CallResult(timer_delete(disarmed)));
  stage.Say("delete", CallResult(timer_delete(deleted)));
}

}  // namespace

std::vector<Scenario> InputScenarios() {
  return {
      {"timer_settime with settings out of range", SettingsOutOfRange},
      {"timer_settime and timer_gettime with NULL", NullPointers, Clocks::kOne},
      {"every call on a deleted timer", DeletedTimer},
      {"every call on a deleted timer, with newer ones", DeletedTimerAndNewOnes, Clocks::kOne},
      {"every call on a CPU clock whose thread has ended", ClockOfEndedThread, Clocks::kOne},
      {"successful calls leave errno alone", ErrnoOnSuccess},
  };
}

}  // namespace conformance
