/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_INODE: entries come into a directory and go out of it.
 *
 *     cc directory.c -lkevent
 *
 * The program makes a directory and three files in it, and removes them one by one.
 * Changes between two collections are one event, with their number.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <kevent/kevent.h>
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

static void collect(int kev_fd) {
  struct ukevent event;
  if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
  const char *what =
      event.ret_data[0] & KEVENT_INODE_CREATE ? "files came into it" : "files left it";
  printf("one event says that %s; changes since the last: %u\n", what, (unsigned)event.ret_data[1]);
}

int main(void) {
  static const char *const names[] = {"first", "second", "third"};
  char path[] = "/tmp/kevent_directory.XXXXXX";
  if (mkdtemp(path) == NULL) die("mkdtemp");
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int kev_fd = kevent_init(NULL, 0, 0);
  if (directory == -1 || kev_fd == -1) die(path);

  struct ukevent request = {
      .id.raw = {(unsigned)directory, 0},
      .type = KEVENT_INODE,
      .event = KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE,
  };
  add(kev_fd, &request, 1);

  for (int i = 0; i < 3; i++) {
    int fd = openat(directory, names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd == -1) die(names[i]);
    close(fd);
  }
  collect(kev_fd);
  for (int i = 0; i < 3; i++) {
    if (unlinkat(directory, names[i], 0) == -1) die(names[i]);
    collect(kev_fd);
  }
  rmdir(path);
  return 0;
}
