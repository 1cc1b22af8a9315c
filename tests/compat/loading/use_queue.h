/* SPDX-License-Identifier: MIT */
/* A queue and a timer, used once, without a file or an allocation of its own. */

#ifndef KEVENT_TESTS_COMPAT_LOADING_USE_QUEUE_H_
#define KEVENT_TESTS_COMPAT_LOADING_USE_QUEUE_H_

#define KEVENT_WEAK
#include <errno.h>
#include <kevent/kevent.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* What happened: "works", "not there", or the call that failed. */
static inline const char *use_queue(void) {
  if (!kevent_available()) return "not there";
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd < 0) return "kevent_init failed";

  char cookie;
  struct sigevent sigev;
  kevent_sigevent(&sigev, kev_fd, &cookie);
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return "timer_create failed";
  const struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
  if (timer_settime(timer, 0, &soon, NULL) != 0) return "timer_settime failed";

  struct ukevent event;
  const struct timespec minute = {.tv_sec = 60};
  if (kevent_get_events(kev_fd, 1, 1, &minute, &event, 0) != 1) return "kevent_get_events failed";
  if (event.ptr != &cookie) return "another cookie";
  if (timer_delete(timer) != 0) return "timer_delete failed";
  if (timer_delete(timer) == 0 || errno != EINVAL) return "deleted twice";
  return close(kev_fd) == 0 ? "works" : "close failed";
}

#endif /* KEVENT_TESTS_COMPAT_LOADING_USE_QUEUE_H_ */
