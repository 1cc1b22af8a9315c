// SPDX-License-Identifier: MIT

#include "tools/kevrun/supervise.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace kevent::kevrun {
namespace {

// Those that end a process or mean something to it; a terminal's stop this one with the child.
sigset_t Forwarded() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH}) {
    sigaddset(&set, signal);
  }
  return set;
}

// A terminal sends its signals to the child as well, so only those of processes go on.
void Forward(const siginfo_t& info, pid_t child) {
  if (info.si_code <= 0 && info.si_pid != child) kill(child, info.si_signo);
}

}  // namespace

Ended RunAndWait(const std::function<void()>& program) {
  // A handler or a disposition that this process inherits is none of its own business.
  const sigset_t forwarded = Forwarded();
  sigset_t waited = forwarded;
  sigaddset(&waited, SIGCHLD);
  sigset_t before;
  struct sigaction inherited = {};
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &standard, &inherited);  // ignored, it would take the child's status along
  sigprocmask(SIG_BLOCK, &waited, &before);
  const pid_t child = fork();
  if (child < 0) {
    std::perror("kevrun: fork");
    std::exit(EXIT_FAILURE);
  }
  if (child == 0) {
    sigaction(SIGCHLD, &inherited, nullptr);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    program();
    _exit(EXIT_FAILURE);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    siginfo_t info = {};
    if (sigwaitinfo(&waited, &info) > 0 && info.si_signo != SIGCHLD) Forward(info, child);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr uint64_t kBillion = 1'000'000'000;
  return {child, status,
          static_cast<uint64_t>(now.tv_sec) * kBillion + static_cast<uint64_t>(now.tv_nsec)};
}

void EndAs(int status) {
  if (!WIFSIGNALED(status)) std::exit(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);  // the child has left its own
  std::fflush(nullptr);
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  sigset_t just;
  sigemptyset(&just);
  sigaddset(&just, signal);
  sigprocmask(SIG_UNBLOCK, &just, nullptr);
  raise(signal);
  std::exit(128 + signal);
}

}  // namespace kevent::kevrun
