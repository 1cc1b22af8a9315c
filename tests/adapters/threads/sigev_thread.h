/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder make timers and count threads with.  They know nothing of
 * libkevent.
 */
#ifndef KEVENT_TESTS_ADAPTERS_THREADS_SIGEV_THREAD_H_
#define KEVENT_TESTS_ADAPTERS_THREADS_SIGEV_THREAD_H_

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/check.h"

#define MILLISECONDS(number) ((number)*1000000L)

typedef void callback_function(union sigval);

static struct sigevent by_thread(callback_function *function, void *value,
                                 pthread_attr_t *attributes) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = function;
  event.sigev_notify_attributes = attributes;
  event.sigev_value.sival_ptr = value;
  return event;
}

static __attribute__((__unused__)) timer_t make_timer(callback_function *function, void *value) {
  struct sigevent event = by_thread(function, value, NULL);
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  return timer;
}

static __attribute__((__unused__)) void arm(timer_t timer, long after, long interval) {
  const struct itimerspec setting = {{0, interval}, {0, after}};
  CHECK(timer_settime(timer, 0, &setting, NULL) == 0);
}

static __attribute__((__unused__)) int is_armed(timer_t timer) {
  struct itimerspec left;
  CHECK(timer_gettime(timer, &left) == 0);
  return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
}

static __attribute__((__unused__)) void await(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0) {
  }
}

/* Of this process; the folder has two entries more. */
static __attribute__((__unused__)) int count_threads(void) {
  DIR *const directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int count = -2;
  while (readdir(directory) != NULL) ++count;
  CHECK(closedir(directory) == 0);
  return count;
}

#endif /* KEVENT_TESTS_ADAPTERS_THREADS_SIGEV_THREAD_H_ */
