/* SPDX-License-Identifier: MIT */
/*
 * What a program of 0.1 may call: a timer and an event of its own, on one queue, by the names
 * that the header binds.  It is compiled with the header of one version, and run with the
 * libraries of others.  With LATER it also calls what 0.1 does not have.
 */
#include <kevent/kevent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  char timer_cookie;
  char user_cookie;
  int kev_fd = kevent_init(NULL, 0, 0);
  struct sigevent sigev;
  memset(&sigev, 0, sizeof sigev);
  sigev.sigev_notify = SIGEV_KEVENT;
  sigev.sigev_kevent_fd = kev_fd;
  sigev.sigev_value.sival_ptr = &timer_cookie;
  timer_t timer;
  if (kev_fd < 0 || timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return 1;
  const struct itimerspec soon = {.it_value.tv_nsec = 1};
  if (timer_settime(timer, 0, &soon, NULL) != 0) return 2;

  struct ukevent event = {.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT};
  event.id.raw_u64 = 2006;
  event.ptr = &user_cookie;
  if (kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &event) != 0) return 3;
  if (kevent_ctl(kev_fd, KEVENT_CTL_READY, 1, &event) != 1) return 4;

  struct ukevent events[3];
  if (kevent_get_events(kev_fd, 2, 3, NULL, events, 0) != 2) return 5;
  int of_timer = events[0].type == KEVENT_POSIX_TIMER ? 0 : 1;
  if (events[of_timer].ptr != &timer_cookie || events[of_timer].ret_data[0] != 0) return 6;
  if (events[1 - of_timer].ptr != &user_cookie) return 7;
  if (events[1 - of_timer].type != KEVENT_UNOTIFY || events[1 - of_timer].id.raw_u64 != 2006)
    return 8;
#ifdef LATER
  if (kevent_aio_pending(kev_fd) != 0) return 9;
#endif
  if (timer_delete(timer) != 0 || close(kev_fd) != 0) return 10;
  printf("compiled with %s, runs with %s\n", KEVENT_VERSION, kevent_version());
  return 0;
}
