// SPDX-License-Identifier: MIT
//
// Streams where a blocking call ends without what it waits for, or with a signal.

#include <fcntl.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "tests/aio_conformance/stage.h"

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

}  // namespace

const std::vector<Named> kEndScenarios = {
    {"sockets with a timeout", SocketsWithATimeout},
    {"terminals", Terminals},
};

}  // namespace aio_conformance
