/* SPDX-License-Identifier: MIT */
/*
 * A queue in a loop of libevent: a timer of the queue ticks five times beside a timer of the loop's
 * own.
 *
 *     cc libevent.c -levent_core -lkevent
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <kevent/loops/libevent.h>
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
  if (ticks >= 5) kevent_libevent_close(source);
}

static void beside(evutil_socket_t fd, short events, void *argument) {
  (void)fd, (void)events, (void)argument;
  printf("the loop's own timer\n");
}

int main(void) {
  int kev_fd = queue_with_a_timer();
  struct kevent_libevent source;
  struct timeval in_a_while = {0, 50000};
  struct event_base *base = event_base_new();
  if (base == NULL) die("event_base_new");
  if (kevent_libevent_start(base, &source, kev_fd, tick, &source) == -1)
    die("kevent_libevent_start");
  event_base_once(base, -1, EV_TIMEOUT, beside, NULL, &in_a_while);
  event_base_dispatch(base);
  event_base_free(base);
  /* The loop has left the queue as it is: its own calls go on sleeping. */
  return (fcntl(kev_fd, F_GETFL) & O_NONBLOCK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
