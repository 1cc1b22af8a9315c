/* SPDX-License-Identifier: MIT */
/*
 * A queue in a loop of libev: a timer of the queue ticks five times beside a timer of the loop's
 * own.
 *
 *     cc libev.c -lev -lkevent
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <kevent/loops/libev.h>
#include <stdio.h>
#include <stdlib.h>

static int ticks;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static int queue_with_a_timer(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  struct sigevent sigev = {.sigev_notify = SIGEV_KEVENT, .sigev_kevent_fd = kev_fd};
  struct itimerspec its = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}};
  timer_t timer;
  if (kev_fd == -1 || timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1 ||
      timer_settime(timer, 0, &its, NULL) == -1) {
    die("kevent");
  }
  return kev_fd;
}

static void tick(struct ukevent *events, unsigned num, void *source) {
  for (unsigned i = 0; i < num; i++) ticks += 1 + (int)events[i].ret_data[0];
  printf("%d ticks\n", ticks);
  if (ticks >= 5) kevent_libev_close(ev_default_loop(0), source);
}

static void beside(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)timer, (void)events;
  printf("the loop's own timer\n");
}

int main(void) {
  int kev_fd = queue_with_a_timer();
  struct kevent_libev source;
  ev_timer own;
  struct ev_loop *loop = ev_default_loop(0);
  if (loop == NULL) die("ev_default_loop");
  if (kevent_libev_start(loop, &source, kev_fd, tick, &source) == -1) die("kevent_libev_start");
  ev_timer_init(&own, beside, 0.05, 0.);
  ev_timer_start(loop, &own);
  ev_run(loop, 0);
  /* The loop has left the queue as it is: its own calls go on sleeping. */
  return (fcntl(kev_fd, F_GETFL) & O_NONBLOCK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
