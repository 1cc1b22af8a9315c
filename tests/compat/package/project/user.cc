// SPDX-License-Identifier: MIT
#include <kevent/kevent.h>

#include <cstdio>
#include <cstring>

int main() {
  char cookie = 0;
  int kev_fd = kevent_init(nullptr, 0, 0);
  struct sigevent sigev;
  kevent_sigevent(&sigev, kev_fd, &cookie);
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return 1;
  itimerspec its = {};
  its.it_value.tv_nsec = 1;
  if (timer_settime(timer, 0, &its, nullptr) != 0) return 1;
  ukevent event;
  if (kevent_get_events(kev_fd, 1, 1, nullptr, &event, 0) != 1) return 1;
  if (event.ptr != &cookie) return 1;
  if (std::strcmp(kevent_version(), KEVENT_VERSION) != 0) return 1;
  std::printf("C++ with libkevent %s: one completion\n", kevent_version());
  return 0;
}
