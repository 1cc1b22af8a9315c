/* SPDX-License-Identifier: MIT */
/*
 * A library with weak references to libkevent (KEVENT_WEAK), in a program that has
 * it or not: a timer of libkevent's or of the C library's, by the same names.
 */
#define _GNU_SOURCE
#define KEVENT_WEAK
#include "weak.h"

#include <kevent/kevent.h>
#include <unistd.h>

const char *weak_use(void) {
  struct sigevent sigev = {.sigev_notify = SIGEV_NONE};
  int queue = -1;
  if (kevent_available()) {
    queue = kevent_init(NULL, 0, 0);
    kevent_sigevent(&sigev, queue, NULL);
  }
  timer_t timer;
  const struct itimerspec hour = {.it_value = {.tv_sec = 3600}};
  struct itimerspec left;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return "timer_create failed";
  if (timer_settime(timer, 0, &hour, NULL) != 0) return "timer_settime failed";
  if (timer_gettime(timer, &left) != 0 || left.it_value.tv_sec < 3500)
    return "timer_gettime failed";
  if (timer_getoverrun(timer) != 0) return "timer_getoverrun failed";
  if (timer_delete(timer) != 0) return "timer_delete failed";
  if (queue == -1) return "works without libkevent";
  return kevent_close(queue) == 0 ? "works with libkevent" : "kevent_close failed";
}
