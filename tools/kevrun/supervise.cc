// SPDX-License-Identifier: MIT

#include "tools/kevrun/supervise.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "tools/kevrun/monitor.h"
#include "tools/kevrun/witness.h"

namespace kevent::kevrun {
namespace {

// Those that end or stop a process or have it go on, or mean something to it.
sigset_t Forwarded() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP,
                           SIGTTIN, SIGTTOU, SIGCONT}) {
    sigaddset(&set, signal);
  }
  return set;
}

// Takes those that are pending.
void Forget(const sigset_t& set) {
  constexpr timespec kNone = {0, 0};
  while (sigtimedwait(&set, nullptr, &kNone) > 0) {
  }
}

void Forget(int signal) {
  sigset_t just;
  sigemptyset(&just);
  sigaddset(&just, signal);
  Forget(just);
}

bool IsPending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

// SIGCONT discards the signals that stop a process if they are pending (POSIX, 2.4.1).
bool IsDiscarded(int signal) {
  return (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) && IsPending(SIGCONT);
}

// timeout(1) sends a signal to this process first, and to the group at once behind that: the two
// are one.  But a SIGCONT is not one with another behind the next stop, and does no harm twice.
void AwaitSame(int signal) {
  if (signal == SIGCONT) return;
  constexpr timespec kMoment = {0, 50'000'000};
  nanosleep(&kMoment, nullptr);
  Forget(signal);
}

// What is sent to the whole group, as a terminal and timeout(1) do, has reached the command
// already, unless that is in a group of its own, as a shell is that controls jobs.
void Forward(const siginfo_t& info, const Monitor& monitor, Witness& witness) {
  AwaitSame(info.si_signo);
  const bool is_of_terminal = info.si_code > 0;
  const bool is_of_group = witness.HasSeen(info.si_signo) || is_of_terminal;
  const bool has_come = is_of_group && getpgid(monitor.command) == getpgrp();
  if (!has_come && !IsDiscarded(info.si_signo)) kill(monitor.pid, info.si_signo);
}

void Take(const siginfo_t& info, const Monitor& monitor, Witness& witness) {
  if (info.si_signo == SIGCHLD) return;
  if (info.si_pid != monitor.pid) return Forward(info, monitor, witness);
  // A SIGCONT to the group that comes while the monitor's is pending is one with it.
  if (!IsPending(SIGCONT)) witness.HasSeen(SIGCONT);
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
  sigaction(SIGCHLD, &standard, &inherited);  // ignored, it would take the command's status along
  sigprocmask(SIG_BLOCK, &waited, &before);
  const Monitor monitor = StartMonitor([&] {
    sigaction(SIGCHLD, &inherited, nullptr);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    program();
  });
  if (monitor.pid < 0) {
    std::perror("kevrun: fork");
    std::exit(EXIT_FAILURE);
  }
  Witness witness;
  int status = 0;
  while (waitpid(monitor.pid, &status, WNOHANG) == 0) {
    siginfo_t info = {};
    if (sigwaitinfo(&waited, &info) > 0) Take(info, monitor, witness);
  }
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Forget(waited);  // they were for the command
  sigprocmask(SIG_SETMASK, &before, nullptr);
  constexpr uint64_t kBillion = 1'000'000'000;
  return {monitor.command, CommandStatus(monitor, status),
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
