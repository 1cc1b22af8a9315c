/* SPDX-License-Identifier: MIT */
/*
 * The program sketched on linux-kernel on 22 August 2006: a POSIX timer whose
 * completions are collected from a queue.
 *
 *     cc timer_2006.c -lkevent
 *
 * A timer with a period of 20 ms is collected five times.  Then the program
 * sleeps through ten periods, and one completion stands for all of them: its
 * overrun count says how many expirations it reports besides the first.  The
 * exit status is 1 if a cookie is not the one given to timer_create, or if
 * the expirations reported are not those that the clock says there were.
 */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <kevent/kevent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { min = 1, max = 8, period = 20 * 1000 * 1000 /* ns */ };

static int MyCookie = 2006;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static int64_t now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Prints the n events of a batch, and returns the number of expirations that
 * they report: one each, and their overruns. */
static int64_t report(const struct ukevent *events, int n) {
  int64_t expirations = 0;
  for (int i = 0; i < n; i++) {
    if (events[i].type != KEVENT_POSIX_TIMER || events[i].ptr != &MyCookie) {
      fprintf(stderr, "this event is not of our timer\n");
      exit(EXIT_FAILURE);
    }
    printf("  cookie %d, overruns %" PRIu32 ", lateness %.1f us\n", *(const int *)events[i].ptr,
           events[i].ret_data[0], events[i].ret_data[1] / 1e3);
    expirations += 1 + (int64_t)events[i].ret_data[0];
  }
  return expirations;
}

int main(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");

  /* Laid out as it was posted. */
  /* clang-format off */
  struct sigevent sigev = {
      .sigev_notify = SIGEV_KEVENT,
      .sigev_kevent_fd = kev_fd,
      .sigev_value.sival_ptr = &MyCookie
  };
  struct itimerspec its = { .it_value = { 0, period }, .it_interval = { 0, period } };
  struct timespec timeout = { 10, 0 };
  struct ukevent events[max];
  timer_t timer;
  /* clang-format on */

  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1) die("timer_create");
  int64_t before_arming = now();
  if (timer_settime(timer, 0, &its, NULL) == -1) die("timer_settime");
  int64_t after_arming = now();

  int count = 0;
  int64_t expirations = 0;
  printf("period 20 ms, collected as it expires:\n");
  while (count < 5) {
    int n = kevent_get_events(kev_fd, min, max, &timeout, events, 0);
    if (n == -1) die("kevent_get_events");
    if (n == 0) {
      fprintf(stderr, "no completion within the timeout\n");
      return EXIT_FAILURE;
    }
    expirations += report(events, n);
    count += n;
  }

  struct timespec ten_periods = {0, 10 * period};
  if (nanosleep(&ten_periods, NULL) == -1) die("nanosleep");

  printf("after a sleep through ten periods (one event; overruns 9 or 10, as the clock says):\n");
  int64_t before_collecting = now();
  int n = kevent_get_events(kev_fd, min, max, &timeout, events, 0);
  if (n == -1) die("kevent_get_events");
  int64_t after_collecting = now();
  expirations += report(events, n);
  count += n;

  /* The timer has expired once at the end of each whole period since it was
   * armed, whether or not the program was collecting. */
  int64_t least = (before_collecting - after_arming) / period;
  int64_t most = (after_collecting - before_arming) / period;
  printf("%d events, %" PRId64 " expirations; by the clock %" PRId64 " to %" PRId64 "\n", count,
         expirations, least, most);

  if (timer_delete(timer) == -1) die("timer_delete");
  if (close(kev_fd) == -1) die("close");
  return n == 1 && least <= expirations && expirations <= most ? EXIT_SUCCESS : EXIT_FAILURE;
}
