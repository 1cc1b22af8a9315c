/* SPDX-License-Identifier: MIT */
/*
 * endings SCENARIO: callbacks that end their timer or their thread.  What the scenarios print is
 * the same with the adapter and without.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/adapters/threads/sigev_thread.h"

#define TIMES 200

static sem_t g_done;

static void make_each_time(callback_function *function) {
  for (int i = 0; i < TIMES; ++i) {
    timer_t timer = NULL;
    struct sigevent event = by_thread(function, &timer, NULL);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    arm(timer, 1, 0);
    await(&g_done);
  }
}

static void delete_own(union sigval value) {
  const timer_t timer = *(timer_t *)value.sival_ptr;
  CHECK(timer_delete(timer) == 0);
  CHECK(sem_post(&g_done) == 0);
}

static void own_timer(void) {
  make_each_time(delete_own);
  printf("each callback deleted its timer\n");
}

static pthread_key_t g_key;
static atomic_int g_destroyed;
static sem_t g_any_destroyed;

static void destroy(void *value) {
  (void)value;
  ++g_destroyed;
  CHECK(sem_post(&g_any_destroyed) == 0);
}

static int await_destroyed(void) {
  for (int i = 0; i < TIMES; ++i) await(&g_any_destroyed);
  return g_destroyed;
}

static void set_data(union sigval value) {
  CHECK(pthread_getspecific(g_key) == NULL);
  CHECK(pthread_setspecific(g_key, "data") == 0);
  delete_own(value);
}

static void data(void) {
  pthread_key_t others[100];
  for (int i = 0; i < 100; ++i) CHECK(pthread_key_create(&others[i], NULL) == 0);
  CHECK(pthread_key_create(&g_key, destroy) == 0);
  make_each_time(set_data);
  printf("%d values of threads were destroyed\n", await_destroyed());
}

static void exit_thread(union sigval value) {
  pthread_setspecific(g_key, "data");
  delete_own(value);
  pthread_exit(NULL);
}

static void thread_exit(void) {
  CHECK(pthread_key_create(&g_key, destroy) == 0);
  make_each_time(exit_thread);
  printf("%d threads exited\n", await_destroyed());
}

static void cancel_thread(union sigval value) {
  pthread_setspecific(g_key, "data");
  CHECK(pthread_cancel(pthread_self()) == 0);
  delete_own(value);
  if (g_destroyed % 2 == 0) pthread_testcancel();
}

static void cancellation(void) {
  CHECK(pthread_key_create(&g_key, destroy) == 0);
  make_each_time(cancel_thread);
  printf("%d threads were cancelled or ended\n", await_destroyed());
}

/* A handler that the callback has pushed runs, when it exits from a function that it has called. */
static void note(void *argument) { CHECK(sem_post(argument) == 0); }

static void exit_deeply(union sigval value) {
  pthread_cleanup_push(note, &g_done);
  CHECK(timer_delete(*(timer_t *)value.sival_ptr) == 0);
  pthread_exit(NULL);
  pthread_cleanup_pop(0);
}

static void handlers(void) {
  make_each_time(exit_deeply);
  printf("each handler ran\n");
}

static void delete_another(union sigval value) {
  CHECK(timer_delete(*(timer_t *)value.sival_ptr) == 0);
  CHECK(sem_post(&g_done) == 0);
}

static void from_another(void) {
  for (int i = 0; i < TIMES; ++i) {
    timer_t others = make_timer(delete_own, NULL);
    const timer_t timer = make_timer(delete_another, &others);
    arm(timer, 1, 0);
    await(&g_done);
    CHECK(timer_delete(timer) == 0);
  }
  printf("callbacks deleted other timers\n");
}

/* The program goes on until its timers are deleted, also without its first thread. */
static void delete_last(union sigval value) {
  printf("the last thread is that of a callback\n");
  CHECK(timer_delete(*(timer_t *)value.sival_ptr) == 0);
  exit(EXIT_SUCCESS);
}

static void last_thread(void) {
  static timer_t s_timer;
  s_timer = make_timer(delete_last, &s_timer);
  arm(s_timer, MILLISECONDS(20), 0);
  pthread_exit(NULL);
}

static const struct scenario {
  const char *name;
  void (*run)(void);
} kScenarios[] = {
    {"own_timer", own_timer},       {"data", data},         {"thread_exit", thread_exit},
    {"cancellation", cancellation}, {"handlers", handlers}, {"from_another", from_another},
    {"last_thread", last_thread},
};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_done, 0, 0) == 0);
  CHECK(sem_init(&g_any_destroyed, 0, 0) == 0);
  for (size_t i = 0; i < sizeof kScenarios / sizeof *kScenarios; ++i) {
    if (strcmp(kScenarios[i].name, argv[1]) != 0) continue;
    kScenarios[i].run();
    return 0;
  }
  CHECK(!"a scenario of this name");
}
