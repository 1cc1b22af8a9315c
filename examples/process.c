/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_PROCESS: the ends of children, in the order in which they come.
 *
 *     cc process.c -lkevent
 *
 * Three children end with statuses of their own, one of them by a signal.  The
 * event has the status; the child is still there for waitpid.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
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

static pid_t start(int number) {
  pid_t child = fork();
  if (child == -1) die("fork");
  if (child != 0) return child;
  struct timespec delay = {0, number * 30000000L};
  nanosleep(&delay, NULL);
  if (number == 3) raise(SIGTERM);
  _exit(number);
}

int main(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  for (int i = 1; i <= 3; i++) {
    struct ukevent request = {
        .id.raw = {(unsigned)start(i), 0},
        .type = KEVENT_PROCESS,
        .event = KEVENT_PROCESS_EXIT,
    };
    add(kev_fd, &request, 1);
  }
  for (int left = 3; left > 0; left--) {
    struct ukevent event;
    if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
    int status = (int)event.ret_data[0];
    if (WIFSIGNALED(status)) {
      printf("ended by signal %d\n", WTERMSIG(status));
    } else {
      printf("ended with %d\n", WEXITSTATUS(status));
    }
    if (waitpid((pid_t)event.id.raw[0], NULL, 0) == -1) die("waitpid");
  }
  return 0;
}
