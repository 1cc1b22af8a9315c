// SPDX-License-Identifier: MIT
//
// A queue in an io_context of Asio: a timer of the queue ticks five times beside a timer of Asio's.
//
//     c++ -std=c++20 asio.cc -lkevent

#include <fcntl.h>

#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <kevent/loops/asio.hpp>
#include <optional>

namespace {

int QueueWithATimer() {
  const int kev_fd = kevent_init(nullptr, 0, 0);
  sigevent sigev;
  kevent_sigevent(&sigev, kev_fd, nullptr);
  const itimerspec its = {{0, 20'000'000}, {0, 20'000'000}};
  timer_t timer;
  if (kev_fd == -1 || timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1 ||
      timer_settime(timer, 0, &its, nullptr) == -1) {
    std::perror("kevent");
    std::exit(EXIT_FAILURE);
  }
  return kev_fd;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): an exception ends the program, and says why
int main() {
  const int kev_fd = QueueWithATimer();
  asio::io_context context;
  unsigned ticks = 0;
  std::optional<kevent::loops::AsioSource> source;
  source.emplace(context, kev_fd, [&](std::span<ukevent> events) {
    for (const ukevent& event : events) ticks += 1 + event.ret_data[0];
    std::printf("%u ticks\n", ticks);
    if (ticks >= 5) source.reset();
  });
  asio::steady_timer own(context, std::chrono::milliseconds(50));
  own.async_wait([](const auto&) { std::puts("the loop's own timer"); });
  context.run();
  // Asio has left the queue as it is: its own calls go on sleeping.
  return (fcntl(kev_fd, F_GETFL) & O_NONBLOCK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
