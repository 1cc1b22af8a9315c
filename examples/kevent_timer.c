/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_TIMER: timers without a timer_t, by period and by specification.
 *
 *     cc kevent_timer.c -lkevent
 *
 * One timer has a period of 20 ms, which is its id.  The other has the key 1 as its
 * id, and its setting is a struct kevent_timer_spec: it expires 50 ms from now, is
 * set again twice, and is disarmed at the end.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* A broken entry has its errno in ret_data[1].  With ADD it comes back, and is counted. */
static void control(int kev_fd, unsigned cmd, struct ukevent *request) {
  int result = kevent_ctl(kev_fd, cmd, 1, request);
  bool broken = result > 0 || (result == 0 && (request->ret_flags & KEVENT_RET_BROKEN));
  if (broken) errno = -(int)request->ret_data[1];
  if (result == -1 || broken) die("kevent_ctl");
}

static void set(int kev_fd, unsigned cmd, long ms) {
  struct kevent_timer_spec spec = {
      .clockid = CLOCK_BOOTTIME,
      .itimerspec.it_value = {0, ms * 1000000},
  };
  struct ukevent request = {
      .id.raw_u64 = 1,
      .type = KEVENT_TIMER,
      .event = KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC,
  };
  const struct kevent_timer_spec *address = &spec;
  memcpy(request.ret_data, &address, sizeof request.ret_data); /* read by the call, never later */
  control(kev_fd, cmd, &request);
}

int main(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  struct ukevent periodic = {
      .id.raw = {0, 20000000},
      .type = KEVENT_TIMER,
      .event = KEVENT_TIMER_FIRED,
  };
  control(kev_fd, KEVENT_CTL_ADD, &periodic);
  set(kev_fd, KEVENT_CTL_ADD, 50);

  for (int periods = 0, settings = 1; periods < 10;) {
    struct ukevent event;
    if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
    if (event.id.raw_u64 == 1) {
      printf("setting %d, %u us late\n", settings, (unsigned)event.ret_data[1] / 1000);
      if (settings++ < 3) set(kev_fd, KEVENT_CTL_MODIFY, 30);
    } else {
      periods += 1 + (int)event.ret_data[0];
      if (periods >= 8) set(kev_fd, KEVENT_CTL_MODIFY, 0);
    }
  }
  printf("ten periods\n");
  return 0;
}
