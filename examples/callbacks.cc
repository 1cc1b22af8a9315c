// SPDX-License-Identifier: MIT
//
// The C++ interface: a timer, a descriptor and an event of the program's own call back, from one
// queue.
//
//     c++ -std=c++20 callbacks.cc -lkevent
//
// A timer with a period of 20 ms sends a byte through a pipe each time; whoever reads five of
// them notifies the end.  The exit status is 1 if the timer has expired fewer times than bytes
// were read.

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <kevent/kevent.hpp>

namespace {

using namespace std::chrono_literals;

int Run() {
  std::array<int, 2> ends;
  if (pipe(ends.data()) == -1) return 1;

  kevent::Queue queue;
  unsigned expirations = 0;
  kevent::Timer tick(queue, [&](const kevent::Expiration& expiration) {
    expirations += 1 + expiration.overruns;
    std::printf("tick, %u overruns, %.1f us late\n", expiration.overruns,
                static_cast<double>(expiration.lateness.count()) / 1e3);
    if (write(ends[1], "x", 1) != 1) queue.stop();
  });

  kevent::UserEvent end(queue, [&] {
    std::puts("the end");
    queue.stop();
  });

  int bytes = 0;
  kevent::DescriptorWatch reader(queue, ends[0], kevent::Interest::kRead, [&] {
    char byte = 0;
    if (read(ends[0], &byte, 1) == 1 && ++bytes == 5) {
      tick.cancel();
      end.notify();
    }
  });

  tick.expires_every(20ms);
  queue.run();
  std::printf("%u expirations, %d bytes\n", expirations, bytes);
  return bytes >= 5 && expirations >= static_cast<unsigned>(bytes) ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return Run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
