// SPDX-License-Identifier: MIT

#include "tools/kevrun/supervise.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

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

// A process of the same group that takes no signal: those that are sent to the group remain pending
// there, and those that are sent to this process alone do not.  Nothing else tells the two apart.
class Witness {
 public:
  Witness() { Begin(); }
  ~Witness() { End(); }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  // Whether the signal has come to the group since the last call that said so.
  bool HasSeen(int signal) {
    if ((Pending() >> (signal - 1) & 1) == 0) return false;
    End();
    Begin();
    return true;
  }

 private:
  void Begin() {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_SUCCESS);
    close_range(0, ~0U, 0);  // whoever reads to the end of a pipe does not wait for this process
    for (;;) pause();
  }

  void End() const {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // A bit for each signal, as proc(5) has them.
  uint64_t Pending() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("ShdPnd:", 0) == 0) return std::stoull(line.substr(7), nullptr, 16);
    }
    return 0;
  }

  pid_t pid_ = 0;
};

// What is sent to the whole group, as a terminal and timeout(1) do, has reached the child already.
// timeout(1) sends it to this process first, and to the group at once behind that.
void Forward(const siginfo_t& info, pid_t child, Witness& witness) {
  if (info.si_code > 0 || info.si_pid == child) return;
  constexpr timespec kMoment = {0, 50'000'000};
  nanosleep(&kMoment, nullptr);
  sigset_t same;
  sigemptyset(&same);
  sigaddset(&same, info.si_signo);
  constexpr timespec kNone = {0, 0};
  while (sigtimedwait(&same, nullptr, &kNone) > 0) {
  }
  if (!witness.HasSeen(info.si_signo)) kill(child, info.si_signo);
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
  Witness witness;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    siginfo_t info = {};
    if (sigwaitinfo(&waited, &info) > 0 && info.si_signo != SIGCHLD) Forward(info, child, witness);
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
