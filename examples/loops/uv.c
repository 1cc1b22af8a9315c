/* SPDX-License-Identifier: MIT */
/*
 * A queue in a loop of libuv: a timer of the queue ticks five times beside a timer of the loop's
 * own.
 *
 *     cc uv.c -luv -lkevent
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <kevent/loops/uv.h>
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
  if (ticks >= 5) kevent_uv_close(source, NULL);
}

static void beside(uv_timer_t *timer) {
  printf("the loop's own timer\n");
  uv_close((uv_handle_t *)timer, NULL);
}

int main(void) {
  int kev_fd = queue_with_a_timer();
  struct kevent_uv source;
  uv_timer_t own;
  uv_loop_t *loop = uv_default_loop();
  if (kevent_uv_start(loop, &source, kev_fd, tick, &source) < 0) die("kevent_uv_start");
  uv_timer_init(loop, &own);
  uv_timer_start(&own, beside, 50, 0);
  uv_run(loop, UV_RUN_DEFAULT);
  /* The loop has left the queue as it is: its own calls go on sleeping. */
  return (fcntl(kev_fd, F_GETFL) & O_NONBLOCK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
