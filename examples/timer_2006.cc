// SPDX-License-Identifier: MIT
//
// timer_2006.c in C++17.  The one difference that matters: C++ cannot name
// sigev_kevent_fd, a member of a member, in an initialiser, so the inline
// function kevent_sigevent() fills the struct sigevent.
//
//     c++ -std=c++17 timer_2006.cc -lkevent
//
// A timer with a period of 20 ms is collected five times, then once more after
// a sleep through ten periods.  The exit status is 1 if a cookie is not the
// one given to timer_create, or if the expirations reported are not those that
// the clock says there were.

#include <kevent/kevent.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <thread>

namespace {

// steady_clock is CLOCK_MONOTONIC in libstdc++ and libc++ on Linux.
using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr nanoseconds kPeriod = 20ms;

// Throws what errno says if a call has returned -1.
int Check(int result, const char* what) {
  if (result == -1) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

class Queue {
 public:
  Queue() : fd_(Check(kevent_init(nullptr, 0, 0), "kevent_init")) {}
  ~Queue() { close(fd_); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A timer on CLOCK_MONOTONIC that completes into a queue.
class Timer {
 public:
  Timer(const Queue& queue, void* cookie) {
    struct sigevent sigev;
    kevent_sigevent(&sigev, queue.fd(), cookie);
    Check(timer_create(CLOCK_MONOTONIC, &sigev, &timer_), "timer_create");
  }
  ~Timer() { timer_delete(timer_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Expires `period` from now, and every `period` from then on; less than 1 s.
  void Start(nanoseconds period) {
    struct itimerspec its = {};
    its.it_value.tv_nsec = period.count();
    its.it_interval.tv_nsec = period.count();
    Check(timer_settime(timer_, 0, &its, nullptr), "timer_settime");
  }

 private:
  timer_t timer_;
};

struct Total {
  int events = 0;
  long long expirations = 0;
};

// Collects one batch, prints it and adds it to the total.  Returns its size.
int Collect(const Queue& queue, void* cookie, Total& total) {
  std::array<struct ukevent, 8> events;
  const struct timespec timeout = {10, 0};
  const int n = Check(kevent_get_events(queue.fd(), 1, static_cast<unsigned>(events.size()),
                                        &timeout, events.data(), 0),
                      "kevent_get_events");
  if (n == 0) throw std::system_error(ETIMEDOUT, std::generic_category(), "kevent_get_events");
  for (int i = 0; i < n; ++i) {
    const struct ukevent& event = events[static_cast<size_t>(i)];
    if (event.type != KEVENT_POSIX_TIMER || event.ptr != cookie) {
      throw std::system_error(EPROTO, std::generic_category(), "an event of another timer");
    }
    std::printf("  cookie %d, overruns %u, lateness %.1f us\n", *static_cast<int*>(event.ptr),
                static_cast<unsigned>(event.ret_data[0]), event.ret_data[1] / 1e3);
    total.events += 1;
    total.expirations += 1LL + event.ret_data[0];
  }
  return n;
}

int Run() {
  int my_cookie = 2006;
  Queue queue;
  Timer timer(queue, &my_cookie);

  const Clock::time_point before_arming = Clock::now();
  timer.Start(kPeriod);
  const Clock::time_point after_arming = Clock::now();

  Total total;
  std::printf("period 20 ms, collected as it expires:\n");
  while (total.events < 5) Collect(queue, &my_cookie, total);

  std::this_thread::sleep_for(10 * kPeriod);
  std::printf(
      "after a sleep through ten periods (one event; overruns 9 or 10, as the clock says):\n");
  const Clock::time_point before_collecting = Clock::now();
  const int n = Collect(queue, &my_cookie, total);
  const Clock::time_point after_collecting = Clock::now();

  // The timer has expired once at the end of each whole period since it was
  // armed, whether or not the program was collecting.
  const long long least = (before_collecting - after_arming) / kPeriod;
  const long long most = (after_collecting - before_arming) / kPeriod;
  std::printf("%d events, %lld expirations; by the clock %lld to %lld\n", total.events,
              total.expirations, least, most);
  return n == 1 && least <= total.expirations && total.expirations <= most ? EXIT_SUCCESS
                                                                           : EXIT_FAILURE;
}

}  // namespace

int main() {
  try {
    return Run();
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
}
