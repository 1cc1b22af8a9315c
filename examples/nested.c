/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_KEVENT: a queue inside a queue.
 *
 *     cc nested.c -lkevent
 *
 * A library has a queue of its own, with a timer in it, and shows the program
 * nothing but the descriptor.  The program waits in its own queue for both, and
 * lets the library collect.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* A broken entry has its errno in ret_data[1]. */
static void add(int kev_fd, struct ukevent request) {
  int refused = kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &request);
  if (refused > 0) errno = -(int)request.ret_data[1];
  if (refused != 0) die("kevent_ctl");
}

static struct ukevent periodic(unsigned ms) {
  return (struct ukevent){
      .id.raw = {0, ms * 1000000},
      .type = KEVENT_TIMER,
      .event = KEVENT_TIMER_FIRED,
  };
}

/* ---- The library ---- */

static int library_open(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  add(kev_fd, periodic(40));
  return kev_fd;
}

static void library_serve(int kev_fd) {
  struct ukevent events[8];
  int n = kevent_get_events(kev_fd, 0, 8, NULL, events, 0);
  if (n > 0) printf("the library's timer\n");
}

/* ---- The program ---- */

int main(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  int library = library_open();
  add(kev_fd, periodic(100));
  add(kev_fd, (struct ukevent){
                  .id.raw = {(unsigned)library, 0},
                  .type = KEVENT_KEVENT,
                  .event = KEVENT_KEVENT_READY,
                  .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
              });
  for (int own = 0; own < 3;) {
    struct ukevent event;
    if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
    if (event.type == KEVENT_KEVENT) {
      library_serve(library);
    } else {
      printf("the program's timer\n");
      own++;
    }
  }
  return 0;
}
