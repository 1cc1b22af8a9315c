// SPDX-License-Identifier: MIT
//
// The header in one of two files of a program.
#include <chrono>
#include <cstdio>
#include <kevent/kevent.hpp>

kevent::Timer OtherTimer(const kevent::Queue& queue, int& expirations);
const void* OtherForks();

int main() {
  kevent::Queue queue;
  int expirations = 0;
  kevent::Timer timer(queue, [&] { ++expirations; });
  kevent::Timer other = OtherTimer(queue, expirations);
  timer.expires_after(std::chrono::milliseconds(1));
  other.expires_after(std::chrono::milliseconds(1));
  while (expirations < 2) queue.run_once();
  if (OtherForks() != &kevent::detail::forks) return 1;
  std::printf("C++20 with libkevent %s: %d callbacks\n", kevent_version(), expirations);
  return 0;
}
