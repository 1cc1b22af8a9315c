/* SPDX-License-Identifier: MIT */
#include <kevent/kevent.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  char cookie;
  int kev_fd = kevent_init(NULL, 0, 0);
  struct sigevent sigev = {
      .sigev_notify = SIGEV_KEVENT,
      .sigev_kevent_fd = kev_fd,
      .sigev_value.sival_ptr = &cookie,
  };
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return 1;
  struct itimerspec its = {.it_value.tv_nsec = 1};
  if (timer_settime(timer, 0, &its, NULL) != 0) return 1;
  struct ukevent event;
  if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) return 1;
  if (event.ptr != &cookie) return 1;
  if (strcmp(kevent_version(), KEVENT_VERSION) != 0) return 1;
  printf("C with libkevent %s: one completion\n", kevent_version());
  return 0;
}
