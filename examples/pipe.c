/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_PIPE: a pipe is read until the other end is closed.
 *
 *     cc pipe.c -lkevent
 *
 * A child writes three lines into a pipe and ends.  Then the kevent's last event
 * comes, with KEVENT_RET_BROKEN.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
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

static void write_lines(int fd) {
  for (int i = 1; i <= 3; i++) {
    dprintf(fd, "line %d\n", i);
    usleep(10000);
  }
  _exit(EXIT_SUCCESS);
}

/* Copies the bytes that the pipe has now to the output. */
static void copy_out(int fd) {
  char bytes[256];
  ssize_t n = read(fd, bytes, sizeof bytes);
  if (n > 0) fwrite(bytes, 1, (size_t)n, stdout);
}

int main(void) {
  int ends[2];
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1 || pipe2(ends, O_CLOEXEC) == -1) die("pipe");
  pid_t child = fork();
  if (child == -1) die("fork");
  if (child == 0) write_lines(ends[1]);
  close(ends[1]);

  struct ukevent request = {
      .id.raw = {(unsigned)ends[0], 0},
      .type = KEVENT_PIPE,
      .event = KEVENT_SOCKET_RECV,
      .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
  };
  add(kev_fd, &request, 1);

  struct ukevent event;
  do {
    if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
    if (event.ret_data[0] & KEVENT_SOCKET_RECV) copy_out(ends[0]);
  } while (!(event.ret_flags & KEVENT_RET_BROKEN));
  printf("the other end is closed\n");
  waitpid(child, NULL, 0);
  return 0;
}
