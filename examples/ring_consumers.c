/* SPDX-License-Identifier: MIT */
/*
 * Several threads read the ring: which slots each thread has, and which thread frees them.
 *
 *     cc ring_consumers.c -lkevent -lpthread
 *
 * Four threads read a ring of 64 events, into which 20000 events go: the program makes
 * 500 events of its own ready, forty times.  Each event is served once.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { size = 64, consumers = 4, share = size / consumers, kinds = 500, rounds = 40 };

static int kev_fd;
static struct kevent_ring *ring;
static unsigned served[kinds];
static unsigned served_by[consumers];
static unsigned in_round;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t round_is_over = PTHREAD_COND_INITIALIZER;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void serve(const struct ukevent *event, unsigned consumer) {
  pthread_mutex_lock(&counting);
  served[event->id.raw_u64]++;
  served_by[consumer]++;
  if (++in_round == kinds) pthread_cond_signal(&round_is_over);
  pthread_mutex_unlock(&counting);
}

/* One thread at a time calls kevent_wait, and so knows which slots the call fills.  Slots
 * are freed in the order of the calls: kevent_commit also frees all slots before its index. */
static pthread_mutex_t waiting = PTHREAD_MUTEX_INITIALIZER;
static unsigned next_slot, next_turn; /* under `waiting` */

static pthread_mutex_t freeing = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed_some = PTHREAD_COND_INITIALIZER;
static unsigned turn_to_free; /* under `freeing` */
static unsigned freed;        /* the index up to which the ring is freed */

/* Returns when the queue is closed. */
static void consume(unsigned consumer) {
  for (;;) {
    pthread_mutex_lock(&waiting);
    unsigned before = __atomic_load_n(&freed, __ATOMIC_ACQUIRE);
    int n = kevent_wait(kev_fd, share, before, NULL, 0);
    int error = n == -1 ? errno : 0;
    unsigned first = next_slot, turn = next_turn;
    if (n > 0) {
      next_slot = (first + (unsigned)n) % size;
      next_turn++;
    }
    pthread_mutex_unlock(&waiting);
    if (error != 0 && error != EINTR) return;
    if (n <= 0) continue; /* a signal came, or other threads have freed slots meanwhile */

    for (int i = 0; i < n; i++) serve(&ring->event[(first + (unsigned)i) % size], consumer);

    pthread_mutex_lock(&freeing);
    while (turn_to_free != turn) pthread_cond_wait(&freed_some, &freeing);
    unsigned over = __atomic_load_n(&ring->ring_over, __ATOMIC_ACQUIRE);
    unsigned end = (first + (unsigned)n) % size;
    if (kevent_commit(kev_fd, end, over) == -1 && errno != EBADF) die("kevent_commit");
    __atomic_store_n(&freed, end, __ATOMIC_RELEASE);
    turn_to_free++;
    pthread_cond_broadcast(&freed_some);
    pthread_mutex_unlock(&freeing);
  }
}

static void *start(void *number) {
  consume((unsigned)(size_t)number);
  return NULL;
}

static void make_all_ready(unsigned cmd) {
  static struct ukevent events[kinds];
  for (unsigned i = 0; i < kinds; i++) {
    events[i] = (struct ukevent){
        .id.raw_u64 = i,
        .type = KEVENT_UNOTIFY,
        .event = KEVENT_UNOTIFY_EVENT,
        .req_flags = KEVENT_REQ_READY,
    };
  }
  int result = kevent_ctl(kev_fd, cmd, kinds, events);
  if (result > 0 && (events[0].ret_flags & KEVENT_RET_BROKEN)) errno = -(int)events[0].ret_data[1];
  if (result != (cmd == KEVENT_CTL_ADD ? 0 : kinds)) die("kevent_ctl");
}

int main(void) {
  ring = malloc(sizeof *ring + size * sizeof ring->event[0]);
  kev_fd = ring == NULL ? -1 : kevent_init(ring, size, 0);
  if (kev_fd == -1) die("kevent_init");
  pthread_t threads[consumers];
  for (size_t i = 0; i < consumers; i++) {
    if (pthread_create(&threads[i], NULL, start, (void *)i) != 0) die("pthread_create");
  }
  for (int round = 0; round < rounds; round++) {
    make_all_ready(round == 0 ? KEVENT_CTL_ADD : KEVENT_CTL_READY);
    pthread_mutex_lock(&counting);
    while (in_round < kinds) pthread_cond_wait(&round_is_over, &counting);
    in_round = 0;
    pthread_mutex_unlock(&counting);
  }
  close(kev_fd); /* they return; until they have, the ring is still in use */
  for (int i = 0; i < consumers; i++) pthread_join(threads[i], NULL);
  free(ring);

  for (int i = 0; i < kinds; i++) {
    if (served[i] == rounds) continue;
    printf("event %d was served %u times in %d rounds\n", i, served[i], rounds);
    return EXIT_FAILURE;
  }
  printf("%d events, each served once; by each thread:", kinds * rounds);
  for (int i = 0; i < consumers; i++) printf(" %u", served_by[i]);
  printf("\n");
  return 0;
}
