// SPDX-License-Identifier: MIT

#include "tools/kevrun/monitor.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "tools/kevrun/beside.h"

namespace kevent::kevrun {
namespace {

constexpr int kResults = 0;  // the monitor's only descriptor

template <typename Value>
void Say(const Value& value) {
  if (write(kResults, &value, sizeof value) != sizeof value) _exit(EXIT_FAILURE);
}

template <typename Value>
bool Hear(int results, Value* value) {
  ssize_t count;
  do {
    count = read(results, value, sizeof *value);
  } while (count < 0 && errno == EINTR);
  return count == sizeof *value;
}

// Has `front` stop and go on as the command does.
class Follower {
 public:
  Follower(pid_t front, pid_t command) : front_(front), command_(command) {}

  // All that the command has done; ends this process when the command has ended.
  void CatchUp() {
    int status = 0;
    while (waitpid(command_, &status, WNOHANG | WUNTRACED | WCONTINUED) == command_) {
      Follow(status);
    }
  }

 private:
  void Follow(int status) {
    const bool was_stopped = is_stopped_;
    is_stopped_ = WIFSTOPPED(status);
    if (is_stopped_) {
      kill(front_, SIGSTOP);
    } else if (was_stopped) {
      kill(front_, SIGCONT);
    }
    if (!WIFEXITED(status) && !WIFSIGNALED(status)) return;
    Say(status);
    _exit(EXIT_SUCCESS);
  }

  pid_t front_;
  pid_t command_;
  bool is_stopped_ = false;
};

[[noreturn]] void BeMonitor(pid_t front, pid_t command) {
  setsid();
  Follower follower(front, command);
  sigset_t all;
  sigfillset(&all);
  for (;;) {
    siginfo_t info = {};
    if (sigwaitinfo(&all, &info) < 0) continue;
    if (info.si_signo == SIGCHLD) {
      follower.CatchUp();
    } else if (info.si_pid == front) {
      kill(command, info.si_signo);
    }
  }
}

}  // namespace

Monitor StartMonitor(const std::function<void()>& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {.pid = -1};
  const pid_t front = getpid();
  Monitor monitor = {.pid = ForkBeside(), .results = ends[0]};
  if (monitor.pid == 0) {
    const pid_t command = fork();
    if (command == 0) {
      program();
      _exit(EXIT_FAILURE);
    }
    const int error = errno;
    dup2(ends[1], kResults);
    close_range(kResults + 1, ~0U, 0);  // whoever reads a pipe to its end does not wait for this
    Say(command < 0 ? -error : command);
    if (command < 0) _exit(EXIT_FAILURE);
    BeMonitor(front, command);
  }
  close(ends[1]);
  if (monitor.pid < 0) return monitor;
  if (!Hear(monitor.results, &monitor.command)) monitor.command = -ECHILD;
  if (monitor.command > 0) return monitor;
  errno = -monitor.command;
  return {.pid = -1};
}

int CommandStatus(const Monitor& monitor, int monitor_status) {
  int status = 0;
  const bool is_known = Hear(monitor.results, &status);
  close(monitor.results);
  return is_known ? status : monitor_status;
}

}  // namespace kevent::kevrun
