/* SPDX-License-Identifier: MIT */
/*
 * The ring: events are read where they lie, without a call.
 *
 *     cc ring.c -lkevent
 *
 * Sixteen timers of 10 ms complete into a ring of eight.  kevent_wait fills it,
 * the loop reads it up to ring_kidx, and kevent_commit frees the slots that were read.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { size = 8, timers = 16 };

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
  struct kevent_ring *ring = malloc(sizeof *ring + size * sizeof ring->event[0]);
  int kev_fd = ring == NULL ? -1 : kevent_init(ring, size, 0);
  if (kev_fd == -1) die("kevent_init");
  for (int i = 0; i < timers; i++) {
    struct ukevent request = {
        .id.raw = {0, 10000000},
        .type = KEVENT_TIMER,
        .event = KEVENT_TIMER_FIRED,
        .user = {(unsigned)i, 0},
    };
    add(kev_fd, &request, 1);
  }

  unsigned index = 0; /* the next event to be read */
  unsigned counts[timers] = {0};
  for (int calls = 0; calls < 40; calls++) {
    if (kevent_wait(kev_fd, size, index, NULL, 0) == -1) die("kevent_wait");
    unsigned over = __atomic_load_n(&ring->ring_over, __ATOMIC_ACQUIRE);
    unsigned end = __atomic_load_n(&ring->ring_kidx, __ATOMIC_ACQUIRE);
    do {
      const struct ukevent *event = &ring->event[index];
      counts[event->user[0]] += 1 + event->ret_data[0];
      index = (index + 1) % size;
    } while (index != end);
    if (kevent_commit(kev_fd, index, over) == -1) die("kevent_commit");
  }
  printf("%d timers of 10 ms, read from a ring of %d events in 40 calls;\n", timers, size);
  printf("how often each has expired:");
  for (int i = 0; i < timers; i++) printf(" %u", counts[i]);
  printf("\n");
  close(kev_fd);
  free(ring);
  return 0;
}
