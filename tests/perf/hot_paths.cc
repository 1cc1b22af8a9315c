// SPDX-License-Identifier: MIT
//
// The hot paths, each so many times, for callgrind to count the instructions of:
//
//   hot_paths settime|batch|gettime|collect TIMES
//
// callgrind counts within TakePath alone (--toggle-collect): starting is not the same in
// two runs, as the index places the first timers by the time of day.  Counts of two runs
// with different TIMES differ by whole turns: what only the first ones take is the same
// in both.

#include <kevent/kevent.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t kTimers = 100;

void Must(bool holds, const char* what) {
  if (holds) return;
  std::perror(what);
  std::exit(EXIT_FAILURE);
}

void Set(timer_t timer, int flags, time_t seconds) {
  const itimerspec setting = {.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_nsec = 1}};
  Must(timer_settime(timer, flags, &setting, nullptr) == 0, "timer_settime");
}

}  // namespace

extern "C" [[gnu::noinline]] void TakePath(const char* path, long times, int queue,
                                           const std::array<timer_t, kTimers>& timers) {
  std::array<ukevent, 4> events;
  for (long i = 0; i < times; ++i) {
    timer_t const timer = timers[static_cast<size_t>(i) % timers.size()];
    if (std::strcmp(path, "settime") == 0) {
      // Later than the deadline before.
      Set(timer, 0, 2000 + i);
    } else if (std::strcmp(path, "batch") == 0) {
      // All timers are set to later deadlines, in one call.
      std::array<kevent_setting, kTimers> settings{};
      for (size_t k = 0; k < timers.size(); ++k) {
        settings[k].timer = timers[k];
        settings[k].value.it_value = {.tv_sec = 2000 + i, .tv_nsec = 1};
      }
      Must(kevent_settime(settings.size(), settings.data()) == static_cast<int>(settings.size()),
           "kevent_settime");
    } else if (std::strcmp(path, "gettime") == 0) {
      itimerspec left;
      Must(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec > 0, "timer_gettime");
    } else {
      // Due already, and collected.
      Set(timer, TIMER_ABSTIME, 0);
      Must(kevent_get_events(queue, 0, events.size(), nullptr, events.data(), 0) == 1,
           "collecting one");
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return EXIT_FAILURE;
  const long times = std::atol(argv[2]);
  const int queue = kevent_init(nullptr, 0, 0);
  sigevent event;
  kevent_sigevent(&event, queue, nullptr);
  std::array<timer_t, kTimers> timers;
  for (timer_t& timer : timers) {
    Must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
    Set(timer, 0, 1000);
  }
  std::array<ukevent, 4> events;
  Must(kevent_get_events(queue, 0, events.size(), nullptr, events.data(), 0) == 0, "collecting");
  TakePath(argv[1], times, queue, timers);
  return EXIT_SUCCESS;
}
