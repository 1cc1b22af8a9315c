/* SPDX-License-Identifier: MIT */
/*
 * A queue in a loop of the program's own around epoll: a timer of the queue ticks five times beside
 * a timer of the loop's own.
 *
 *     cc epoll.c -lkevent
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <kevent/loops/epoll.h>
#include <stdio.h>
#include <stdlib.h>

static int epoll_fd;
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

static void tick(struct ukevent *events, unsigned num, void *drain) {
  for (unsigned i = 0; i < num; i++) ticks += 1 + (int)events[i].ret_data[0];
  printf("%d ticks\n", ticks);
  if (ticks >= 5) kevent_epoll_close(drain, epoll_fd);
}

int main(void) {
  int kev_fd = queue_with_a_timer();
  struct kevent_drain drain;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd == -1) die("epoll_create1");
  if (kevent_epoll_start(&drain, epoll_fd, kev_fd, tick, &drain) == -1) die("kevent_epoll_start");
  while (ticks < 5) {
    struct epoll_event ready[8];
    int num = epoll_wait(epoll_fd, ready, 8, 50);
    if (num == 0) printf("the loop's own time\n");
    for (int i = 0; i < num; i++) {
      if (ready[i].data.ptr == &drain && kevent_drain_run(&drain) == -1) die("kevent_drain_run");
    }
  }
  return EXIT_SUCCESS;
}
