/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_UNOTIFY: events of the program's own, from a thread and from a signal
 * handler.
 *
 *     cc user_event.c -lkevent -pthread
 *
 * A thread does some work and makes its event ready; the handler of an alarm of 20 ms
 * makes another one ready.  At the end the thread wakes the collector on purpose,
 * without an event, by kevent_ctl(READY) of no kevents.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { worked = 1, alarmed = 2 };

static int kev_fd;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* A broken entry has its errno in ret_data[1]. */
static void add(struct ukevent *requests, unsigned num) {
  int refused = kevent_ctl(kev_fd, KEVENT_CTL_ADD, num, requests);
  for (unsigned i = 0; refused > 0 && i < num; i++) {
    if (requests[i].ret_flags & KEVENT_RET_BROKEN) errno = -(int)requests[i].ret_data[1];
  }
  if (refused != 0) die("kevent_ctl");
}

static struct ukevent user_event(unsigned id) {
  return (struct ukevent){
      .id.raw_u64 = id,
      .type = KEVENT_UNOTIFY,
      .event = KEVENT_UNOTIFY_EVENT,
  };
}

/* This function is async-signal-safe: the handler calls it. */
static void say(unsigned id) {
  struct ukevent event = user_event(id);
  kevent_ctl(kev_fd, KEVENT_CTL_READY, 1, &event);
}

static void on_alarm(int signal_number) {
  (void)signal_number;
  say(alarmed);
}

static void *work(void *unused) {
  for (int i = 0; i < 3; i++) {
    usleep(30000);
    say(worked);
  }
  usleep(30000);
  kevent_ctl(kev_fd, KEVENT_CTL_READY, 0, NULL);
  return unused;
}

int main(void) {
  kev_fd = kevent_init(NULL, 0, 0);
  struct ukevent requests[] = {user_event(worked), user_event(alarmed)};
  if (kev_fd == -1) die("kevent_init");
  add(requests, 2);

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_alarm;
  struct itimerval once = {.it_value = {0, 20000}};
  pthread_t thread;
  if (sigaction(SIGALRM, &action, NULL) == -1 || setitimer(ITIMER_REAL, &once, NULL) == -1 ||
      pthread_create(&thread, NULL, work, NULL) != 0) {
    die("starting");
  }
  for (;;) {
    struct ukevent events[2];
    int n = kevent_get_events(kev_fd, 1, 2, NULL, events, 0);
    /* EINTR: the handler has run, and its event is there by now. */
    if (n == -1 && errno != EINTR) die("kevent_get_events");
    if (n == 0) break;
    for (int i = 0; i < n; i++) {
      printf("%s\n", events[i].id.raw_u64 == worked ? "worked" : "alarmed");
    }
  }
  printf("woken on purpose\n");
  pthread_join(thread, NULL);
  return 0;
}
