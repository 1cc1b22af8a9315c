// SPDX-License-Identifier: MIT
//
// timer_create: which clocks, which cookies, and what a new timer says.

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

void NewTimer(Stage& stage) {
  sigevent request = stage.delivery().Request(1);
  timer_t timer = {};
  const int result = timer_create(stage.clock().id(), &request, &timer);
  stage.Say("timer_create", CallResult(result));
  if (result != 0) return;
  stage.SayRemaining("remaining", timer, {});
  stage.SayOverrun("getoverrun", timer);
  stage.SayWhatIsLeft("completion");
  stage.Say("timer_delete", CallResult(timer_delete(timer)));
}

int CreationError(Stage& stage, clockid_t clock) {
  sigevent request = stage.delivery().Request(1);
  timer_t timer = {};
  if (timer_create(clock, &request, &timer) != 0) return errno;
  timer_delete(timer);
  return 0;
}

// From the four CPU clocks and the descriptor clock of the process itself (see
// clockid_t in clock_getcpuclockid(3) and linux/posix-timers_types.h) to well
// beyond the last clock that has a name.
void ClockIds(Stage& stage) {
  constexpr clockid_t kFirst = -8;
  constexpr clockid_t kLast = 31;
  clockid_t run = kFirst;
  for (clockid_t clock = kFirst; clock <= kLast; ++clock) {
    const int error = CreationError(stage, clock);
    if (clock < kLast && CreationError(stage, clock + 1) == error) continue;
    const std::string ids =
        run == clock ? std::to_string(run) : std::to_string(run) + ".." + std::to_string(clock);
    stage.Say(ids, ErrorName(error));
    run = clock + 1;
  }
}

constexpr clockid_t ProcessCpuClock(pid_t pid) { return static_cast<clockid_t>(~pid * 8 + 2); }

void ClocksOfOtherProcesses(Stage& stage) {
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  stage.Say("child", ErrorName(CreationError(stage, ProcessCpuClock(child))));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  stage.Say("reaped-child", ErrorName(CreationError(stage, ProcessCpuClock(child))));
}

void Cookies(Stage& stage) {
  int local = 0;
  for (const uintptr_t cookie : {uintptr_t{0}, UINTPTR_MAX, reinterpret_cast<uintptr_t>(&local)}) {
    const timer_t timer = stage.Create(cookie);
    stage.CollectAndSay(cookie == 0             ? "zero"
                        : cookie == UINTPTR_MAX ? "all-ones"
                                                : "address",
                        timer, stage.ArmAt(timer, stage.Past(kevent_test::kSecond)));
    stage.Delete(timer);
  }
}

// In a child, for what the C library makes of it.
void NullTimer(Stage& stage) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGSEGV, SIG_DFL);
    sigevent request = stage.delivery().Request(1);
    timer_t* volatile nowhere = nullptr;
    const int result = timer_create(stage.clock().id(), &request, nowhere);
    _exit(result == 0 ? 0 : errno);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    stage.Say("timer_create", std::string("SIG") + sigabbrev_np(WTERMSIG(status)));
  } else {
    stage.Say("timer_create", ErrorName(WEXITSTATUS(status)));
  }
}

constexpr KnownDifference kNullTimer = {
    .signal = "timer_create=SIGSEGV",
    .queue = "timer_create=EFAULT",
    .reason =
        "timer_create(…, NULL): the C library gives the kernel an address of its own and "
        "then stores through the null pointer; the queue answers as the kernel would.",
};

}  // namespace

std::vector<Scenario> CreationScenarios() {
  return {
      {"new timer", NewTimer},
      {"timer_create with clock ids -8 to 31", ClockIds, Clocks::kOne},
      {"timer_create with other processes' CPU clocks", ClocksOfOtherProcesses, Clocks::kOne},
      {"timer_create with NULL for the timer_t", NullTimer, Clocks::kOne, &kNullTimer},
      {"cookies come back unread", Cookies},
  };
}

}  // namespace conformance
