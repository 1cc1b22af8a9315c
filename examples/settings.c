/* SPDX-License-Identifier: MIT */
/*
 * Idle timeouts of a thousand connections, pushed back together.
 *
 *     cc settings.c -lkevent
 *
 * In each turn the connections that were active have their timeouts set again, all in
 * one call.  Those that are never active expire, each once.  An active one expires, too,
 * if the program is held up for longer than the timeout.
 */
#define _POSIX_C_SOURCE 200809L

#include <kevent/kevent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { connections = 1000, batch = 64 };

static const struct timespec idle_timeout = {0, 500 * 1000 * 1000};

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* Every tenth connection stays idle. */
static bool is_active(uintptr_t connection) { return connection % 10 != 0; }

static void push_back(unsigned count, struct kevent_setting *settings) {
  int set = kevent_settime(count, settings);
  if (set == -1) die("kevent_settime");
  if ((unsigned)set == count) return;
  for (unsigned i = 0; i < count; i++) {
    if (settings[i].error == 0) continue;
    fprintf(stderr, "timeout %u: %s\n", i, strerror(settings[i].error));
    exit(EXIT_FAILURE);
  }
}

int main(void) {
  static timer_t timeouts[connections];
  static struct kevent_setting settings[connections];

  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  for (uintptr_t i = 0; i < connections; i++) {
    struct sigevent sev;
    kevent_sigevent(&sev, kev_fd, (void *)i);
    if (timer_create(CLOCK_MONOTONIC, &sev, &timeouts[i]) == -1) die("timer_create");
    settings[i] = (struct kevent_setting){.timer = timeouts[i], .value.it_value = idle_timeout};
  }
  push_back(connections, settings);

  unsigned turns = 0, idle = 0, late = 0;
  while (idle < connections / 10) {
    unsigned count = 0;
    for (uintptr_t i = 0; i < connections; i++) {
      if (is_active(i)) settings[count++].timer = timeouts[i];
    }
    push_back(count, settings);
    turns++;

    struct ukevent events[batch];
    struct timespec turn = {0, 20 * 1000 * 1000};
    int n = kevent_get_events(kev_fd, 1, batch, &turn, events, 0);
    if (n == -1) die("kevent_get_events");
    for (int i = 0; i < n; i++) {
      if (is_active((uintptr_t)events[i].ptr)) {
        late++;
      } else {
        idle++;
      }
    }
  }
  printf("%u of %d connections were idle, in %u turns\n", idle, connections, turns);
  if (late > 0) printf("%u timeouts were pushed back too late\n", late);
  return EXIT_SUCCESS;
}
