/* SPDX-License-Identifier: MIT */
/*
 * counts plain|threads|memory: 1000 timers that their callbacks arm again, and none of the
 * callbacks is lost: with what the process may have, when no more threads can be made
 * (RLIMIT_NPROC), when there is no memory for stacks (RLIMIT_AS).  Ends when all have come.
 *
 * counts at_once: as many callbacks as wait for each other are begun.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tests/adapters/threads/limits.h"
#include "tests/adapters/threads/sigev_thread.h"

#define TIMERS 1000
#define CALLBACKS_EACH 20

static struct counted {
  timer_t timer;
  atomic_int callbacks;
} g_counted[TIMERS];
static sem_t g_done;

static void count(union sigval value) {
  struct counted *const counted = value.sival_ptr;
  const int before = atomic_fetch_add(&counted->callbacks, 1);
  CHECK(before < CALLBACKS_EACH);
  CHECK(timer_getoverrun(counted->timer) == 0);
  if (before + 1 < CALLBACKS_EACH) {
    arm(counted->timer, MILLISECONDS(1), 0);
  } else {
    CHECK(sem_post(&g_done) == 0);
  }
}

static void note_first(union sigval value) { CHECK(sem_post(value.sival_ptr) == 0); }

static void allow_no_more_memory(void) {
  unsigned long pages;
  FILE *const file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL);
  CHECK(fscanf(file, "%lu", &pages) == 1);
  CHECK(fclose(file) == 0);
  /* Room for the heap, and for no stack. */
  const rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (1 << 20);
  const struct rlimit all = {bytes, bytes};
  CHECK(setrlimit(RLIMIT_AS, &all) == 0);
}

static void check_that_none_is_lost(void (*allow)(void)) {
  for (int i = 0; i < TIMERS; ++i) g_counted[i].timer = make_timer(count, &g_counted[i]);
  arm(make_timer(note_first, &g_done), 1, 0);
  await(&g_done);
  if (allow != NULL) allow();
  for (int i = 0; i < TIMERS; ++i) arm(g_counted[i].timer, 1, 0);
  for (int i = 0; i < TIMERS; ++i) await(&g_done);
  for (int i = 0; i < TIMERS; ++i) {
    CHECK(g_counted[i].callbacks == CALLBACKS_EACH);
    CHECK(timer_delete(g_counted[i].timer) == 0);
  }
}

#define AT_ONCE 32
static pthread_barrier_t g_barrier;

static void meet(union sigval value) {
  (void)value;
  pthread_barrier_wait(&g_barrier);
  CHECK(sem_post(&g_done) == 0);
}

/* Of one timer, and of several that expire together. */
static void check_that_they_begin_at_once(void) {
  CHECK(pthread_barrier_init(&g_barrier, NULL, AT_ONCE) == 0);
  const timer_t timer = make_timer(meet, NULL);
  arm(timer, MILLISECONDS(1), MILLISECONDS(1));
  for (int i = 0; i < AT_ONCE; ++i) await(&g_done);
  CHECK(timer_delete(timer) == 0);
}

static void check_that_those_of_several_begin_at_once(void) {
  CHECK(pthread_barrier_init(&g_barrier, NULL, AT_ONCE) == 0);
  timer_t timers[AT_ONCE];
  for (int i = 0; i < AT_ONCE; ++i) timers[i] = make_timer(meet, NULL);
  for (int i = 0; i < AT_ONCE; ++i) arm(timers[i], 1, 0);
  for (int i = 0; i < AT_ONCE; ++i) await(&g_done);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_done, 0, 0) == 0);
  if (strcmp(argv[1], "several_at_once") == 0) {
    check_that_those_of_several_begin_at_once();
  } else if (strcmp(argv[1], "at_once") == 0) {
    check_that_they_begin_at_once();
  } else {
    check_that_none_is_lost(strcmp(argv[1], "threads") == 0  ? allow_no_more_threads
                            : strcmp(argv[1], "memory") == 0 ? allow_no_more_memory
                                                             : NULL);
  }
  return 0;
}
