/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_POLL: any descriptor that can be polled, by level and by edge.
 *
 *     cc poll.c -lkevent
 *
 * An eventfd is watched twice, with different cookies.  The kevent by level is
 * reported for as long as the counter is not zero, the one by edge once for each
 * time that somebody adds to it.
 */
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

static void watch(int kev_fd, int fd, unsigned req_flags, const char *cookie) {
  struct ukevent request = {
      .id.raw = {(unsigned)fd, 0},
      .type = KEVENT_POLL,
      .event = KEVENT_POLL_POLLIN,
      /* Both are to be told of one activity. */
      .req_flags = req_flags | KEVENT_REQ_WAKEUP_ALL,
      .ptr = (void *)(uintptr_t)cookie,
  };
  if (kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &request) != 0) die("kevent_ctl");
}

static void collect(int kev_fd, const char *when) {
  struct ukevent events[4];
  int n = kevent_get_events(kev_fd, 0, 4, NULL, events, 0);
  if (n == -1) die("kevent_get_events");
  printf("%s:", when);
  for (int i = 0; i < n; i++) printf(" %s", (const char *)events[i].ptr);
  printf("%s\n", n == 0 ? " nothing" : "");
}

int main(void) {
  uint64_t value = 1;
  int fd = eventfd(0, EFD_CLOEXEC);
  int kev_fd = kevent_init(NULL, 0, 0);
  if (fd == -1 || kev_fd == -1) die("eventfd");
  watch(kev_fd, fd, 0, "level");
  watch(kev_fd, fd, KEVENT_REQ_ET, "edge");

  collect(kev_fd, "before");
  if (write(fd, &value, sizeof value) == -1) die("write");
  collect(kev_fd, "added");
  collect(kev_fd, "once more");
  if (write(fd, &value, sizeof value) == -1) die("write");
  collect(kev_fd, "added again");
  if (read(fd, &value, sizeof value) == -1) die("read");
  collect(kev_fd, "taken");
  return 0;
}
