/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_SIGNAL: a signal in the same loop as a timer, without a handler.
 *
 *     cc signal.c -lkevent
 *
 * The signal is blocked first: otherwise it would be delivered as usual.  At each of
 * three expirations of a timer of 50 ms the process sends itself SIGUSR1.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* A broken entry has its errno in ret_data[1]. */
static void add(int kev_fd, struct ukevent *requests, unsigned num) {
  int refused = kevent_ctl(kev_fd, KEVENT_CTL_ADD, num, requests);
  for (unsigned i = 0; refused > 0 && i < num; i++) {
    if (requests[i].ret_flags & KEVENT_RET_BROKEN) errno = -(int)requests[i].ret_data[1];
  }
  if (refused != 0) die("kevent_ctl");
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (sigprocmask(SIG_BLOCK, &set, NULL) == -1) die("sigprocmask");

  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  struct ukevent requests[] = {
      {.id.raw_u64 = SIGUSR1, .type = KEVENT_SIGNAL, .event = KEVENT_SIGNAL_DELIVERY},
      {.id.raw = {0, 50000000}, .type = KEVENT_TIMER, .event = KEVENT_TIMER_FIRED},
  };
  add(kev_fd, requests, 2);

  for (int seen = 0; seen < 3;) {
    struct ukevent events[2];
    int n = kevent_get_events(kev_fd, 1, 2, NULL, events, 0);
    if (n == -1) die("kevent_get_events");
    for (int i = 0; i < n; i++) {
      if (events[i].type == KEVENT_TIMER) {
        kill(getpid(), SIGUSR1);
      } else {
        printf("signal %u, from %s\n", (unsigned)events[i].id.raw[0],
               (pid_t)events[i].ret_data[1] == getpid() ? "this process" : "another");
        seen++;
      }
    }
  }
  return 0;
}
