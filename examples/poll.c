/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_POLL: a descriptor that can be polled is watched by level and by edge.
 *
 *     cc poll.c -lkevent
 *
 * An eventfd has two kevents with different cookies.  The level-triggered one is
 * reported for as long as the counter is not zero, the edge-triggered one once for
 * each time that the program adds to the counter.
 */
#include <errno.h>
#include <kevent/kevent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
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

static void watch(int kev_fd, int fd, unsigned req_flags, const char *cookie) {
  struct ukevent request = {
      .id.raw = {(unsigned)fd, 0},
      .type = KEVENT_POLL,
      .event = KEVENT_POLL_POLLIN,
      .req_flags = req_flags,
      .ptr = (void *)(uintptr_t)cookie,
  };
  add(kev_fd, &request, 1);
}

static void collect(int kev_fd, const char *when) {
  struct ukevent events[4];
  int n = kevent_get_events(kev_fd, 0, 4, NULL, events, 0);
  if (n == -1) die("kevent_get_events");
  printf("%s, a collection reports", when);
  for (int i = 0; i < n; i++) printf("%s %s", i == 0 ? "" : " and", (const char *)events[i].ptr);
  printf("%s\n", n == 0 ? " nothing" : "");
}

int main(void) {
  uint64_t value = 1;
  int fd = eventfd(0, EFD_CLOEXEC);
  int kev_fd = kevent_init(NULL, 0, 0);
  if (fd == -1 || kev_fd == -1) die("eventfd");
  watch(kev_fd, fd, 0, "the kevent by level");
  watch(kev_fd, fd, KEVENT_REQ_ET, "the one by edge");

  collect(kev_fd, "Before the counter is raised");
  if (write(fd, &value, sizeof value) == -1) die("write");
  collect(kev_fd, "After it was raised");
  collect(kev_fd, "Once more, with it left alone");
  if (write(fd, &value, sizeof value) == -1) die("write");
  collect(kev_fd, "After it was raised again");
  if (read(fd, &value, sizeof value) == -1) die("read");
  collect(kev_fd, "After it was read");
  return 0;
}
