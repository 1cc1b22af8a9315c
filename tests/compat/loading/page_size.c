/* SPDX-License-Identifier: MIT */
/*
 * On a system with pages of 64 KiB, as this process is told that it has: the library
 * finds out whether kevent_ctl can write to an array by whole pages of that system.
 * The array lies in the second 4 KiB of one; the first is not there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <kevent/kevent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kLarge = 64 * 1024 };

/* In place of the C library's. */
int getpagesize(void) { return kLarge; }

int main(void) {
  if (sysconf(_SC_PAGESIZE) != 4096) return 77;
  char *memory = mmap(NULL, 2 * kLarge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  char *page = memory + (kLarge - (uintptr_t)memory % kLarge) % kLarge;
  struct ukevent *request = (struct ukevent *)(page + 4096);
  const struct ukevent user = {.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT};
  *request = user;
  const int queue = kevent_init(NULL, 0, 0);
  if (queue < 0) return 1;
  const int writable = kevent_ctl(queue, KEVENT_CTL_ADD, 1, request);
  if (munmap(page, 4096) != 0) return 1;
  const int begins_unmapped = kevent_ctl(queue, KEVENT_CTL_REMOVE, 1, request);
  const int error = errno;
  printf("%d %s\n", writable, begins_unmapped == -1 && error == EFAULT ? "EFAULT" : "done");
  return 0;
}
