/* SPDX-License-Identifier: MIT */
/*
 * Counts the system calls of kevent_ctl(MODIFY) with one entry, a descriptor's:
 * epoll_ctl alone, where the entry is on the page of the stack that the call's
 * own frames are on.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <stdio.h>
#include <stdlib.h>

#include "system_calls.h"

enum { kCalls = 1000, kSkip = 77 };

static int kev_fd;
static int ends[2];

static void fail(const char *what) {
  printf("%s: errno %d\n", what, errno);
  exit(1);
}

static int __attribute__((noinline)) count_calls(void) {
  counted = 0;
  for (int call = 0; call < kCalls; call++) {
    struct ukevent entry = {.id.raw = {(unsigned)ends[0]},
                            .type = KEVENT_POLL,
                            .event = KEVENT_POLL_POLLIN,
                            .req_flags = KEVENT_REQ_DISPATCH};
    kevent_ctl(kev_fd, KEVENT_CTL_MODIFY, 1, &entry);
    if (last_number != SYS_epoll_ctl) fail("the last system call is not epoll_ctl");
  }
  return counted;
}

/* With the stack so much lower. */
static int __attribute__((noinline)) count_calls_lower(unsigned bytes) {
  volatile char *lower = alloca(bytes + 1);
  lower[0] = 0;
  const int made = count_calls();
  lower[bytes] = 0;
  return made;
}

int main(void) {
  /* No buffer to be allocated and no terminal to be asked for later. */
  static char buffer[4096];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);

  kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd < 0 || pipe(ends) != 0) fail("kevent_init or pipe");
  struct ukevent entry = {.id.raw = {(unsigned)ends[0]},
                          .type = KEVENT_POLL,
                          .event = KEVENT_POLL_POLLIN,
                          .req_flags = KEVENT_REQ_DISPATCH};
  if (kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &entry) != 0) fail("kevent_ctl");
  const unsigned half_a_page = (unsigned)sysconf(_SC_PAGESIZE) / 2;

  if (trap_system_calls() != 0) {
    printf("no seccomp filter can be had here: errno %d\n", errno);
    return kSkip;
  }
  /* The end of a page lies between entry and frames in one of the two at most. */
  const int made = count_calls_lower(0);
  const int made_lower = count_calls_lower(half_a_page);
  printf("%d calls: %d and %d system calls\n", kCalls, made, made_lower);
  return made == kCalls || made_lower == kCalls ? 0 : 1;
}
