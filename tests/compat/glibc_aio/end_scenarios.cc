// SPDX-License-Identifier: MIT
//
// Streams where a blocking call ends without what it waits for, or with a signal.

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

struct Ends {
  ~Ends() {
    for (const int end : ends) close(end);
  }
  int ends[2] = {-1, -1};
};

void SocketsWithATimeout(Stage& stage) {
  Ends pair;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.ends) != 0) return;
  const timeval timeout = {0, 20'000};
  setsockopt(pair.ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  char byte = 'x';
  stage.See("nothing to read", stage.Read(pair.ends[0], &byte, 1));
  stage.See("something to write", stage.Write(pair.ends[1], &byte, 1));
  stage.See("something to read", stage.Read(pair.ends[0], &byte, 1));
  setsockopt(pair.ends[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  const std::string much(size_t{1} << 22, 'x');
  aiocb control = stage.Control(pair.ends[0], much.data(), much.size());
  control.aio_sigevent = stage.Request(&control);
  stage.See("much to write", Stage::Result(aio_write(&control)));
  stage.See("notified", stage.Notified(control));
  stage.See("a part", aio_error(&control) == 0 && aio_return(&control) > 0);
  stage.See("more", stage.Write(pair.ends[0], "x", 1));
}

void Terminals(Stage& stage) {
  Ends pair;
  termios raw;
  if (openpty(&pair.ends[0], &pair.ends[1], nullptr, nullptr, nullptr) != 0 ||
      tcgetattr(pair.ends[1], &raw) != 0) {
    return;
  }
  cfmakeraw(&raw);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 1;
  tcsetattr(pair.ends[1], TCSANOW, &raw);
  std::array<char, 8> bytes = {};
  stage.See("VTIME, nothing", stage.Read(pair.ends[1], bytes.data(), bytes.size()));
  stage.See("written", stage.Write(pair.ends[0], "ab", 2));
  stage.See("VTIME, two bytes", stage.Read(pair.ends[1], bytes.data(), bytes.size()));
}

volatile sig_atomic_t s_broken_pipes;

bool IsPending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

// Its signal is not the caller's, however the operation is done.
void BrokenPipes(Stage& stage) {
  struct sigaction count = {};
  struct sigaction before;
  count.sa_handler = [](int) { s_broken_pipes = s_broken_pipes + 1; };
  sigaction(SIGPIPE, &count, &before);
  for (const int flags : {0, O_NONBLOCK}) {
    const std::string how = flags == 0 ? "" : "O_NONBLOCK, ";
    Pipe pipe(flags);
    pipe.CloseReader();
    s_broken_pipes = 0;
    stage.See(how + "written", stage.Write(pipe.to(), "x", 1));
    stage.See(how + "handlers", s_broken_pipes);
    sigset_t signals;
    sigset_t mask;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, &mask);
    stage.See(how + "blocked", stage.Write(pipe.to(), "x", 1));
    stage.See(how + "pending then", IsPending(SIGPIPE));
    raise(SIGPIPE);
    stage.See(how + "raised before", stage.Write(pipe.to(), "x", 1));
    stage.See(how + "pending then", IsPending(SIGPIPE));
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    stage.See(how + "handlers", s_broken_pipes);
  }
  sigaction(SIGPIPE, &before, nullptr);
}

}  // namespace

const std::vector<Named> kEndScenarios = {
    {"sockets with a timeout", SocketsWithATimeout},
    {"terminals", Terminals},
    {"broken pipes", BrokenPipes},
};

}  // namespace aio_conformance
