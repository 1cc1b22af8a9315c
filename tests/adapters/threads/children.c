/* SPDX-License-Identifier: MIT */
/*
 * children SCENARIO: what becomes of callbacks in the child of a fork, the same with the adapter
 * and without: a child has neither the timers nor the threads, and makes its own.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/adapters/threads/sigev_thread.h"

static sem_t g_done;
static sem_t g_of_child;
static atomic_int g_in_parent;

static void in_parent(union sigval value) {
  (void)value;
  ++g_in_parent;
  CHECK(sem_post(&g_done) == 0);
}

static void in_child(union sigval value) {
  (void)value;
  CHECK(sem_post(&g_of_child) == 0);
}

static void await_status(pid_t child, int wanted) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == wanted);
}

static void use_timers(void) {
  for (int i = 0; i < 3; ++i) {
    const timer_t timer = make_timer(in_child, NULL);
    for (int callbacks = 0; callbacks < 3; ++callbacks) {
      arm(timer, MILLISECONDS(1), 0);
      await(&g_of_child);
    }
    if (i != 0) CHECK(timer_delete(timer) == 0);
  }
}

/* Has children itself, each of which has one. */
static void be_a_child(int generations) {
  const int before = g_in_parent;
  for (;;) {
    use_timers();
    CHECK(g_in_parent == before);
    const pid_t child = --generations == 0 ? 0 : fork();
    CHECK(child >= 0);
    if (generations == 0) break;
    if (child != 0) {
      await_status(child, 7);
      break;
    }
  }
  _exit(7);
}

static void with_timers(pid_t (*make_child)(void)) {
  const timer_t timer = make_timer(in_parent, NULL);
  arm(timer, MILLISECONDS(1), MILLISECONDS(1));
  for (int i = 0; i < 20; ++i) {
    await(&g_done);
    const pid_t child = make_child();
    CHECK(child >= 0);
    if (child == 0) be_a_child(2);
    await_status(child, 7);
  }
  CHECK(timer_delete(timer) == 0);
  printf("children made timers of their own\n");
}

/* The callback's thread is the only one of the child, which ends with it. */
static void fork_and_return(union sigval value) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) return;
  await_status(child, 0);
  CHECK(sem_post(value.sival_ptr) == 0);
}

static void fork_and_make_timers(union sigval value) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) be_a_child(1);
  await_status(child, 7);
  CHECK(sem_post(value.sival_ptr) == 0);
}

static void in_callback(callback_function *function) {
  const timer_t timer = make_timer(function, &g_done);
  for (int i = 0; i < 20; ++i) {
    arm(timer, 1, 0);
    await(&g_done);
  }
  CHECK(timer_delete(timer) == 0);
  printf("callbacks forked\n");
}

static void count_read(union sigval value) { CHECK(sem_post(value.sival_ptr) == 0); }

static atomic_int g_reads_on;

static void *read_again_and_again(void *descriptor) {
  sem_t done;
  CHECK(sem_init(&done, 0, 0) == 0);
  while (g_reads_on) {
    char byte;
    struct aiocb control = {.aio_fildes = *(int *)descriptor, .aio_buf = &byte, .aio_nbytes = 1};
    control.aio_sigevent = by_thread(count_read, &done, NULL);
    CHECK(aio_read(&control) == 0);
    await(&done);
  }
  return NULL;
}

/* What another thread was about to submit is not the child's. */
static void while_submitting(void) {
  int descriptor = open("/proc/self/exe", O_RDONLY);
  CHECK(descriptor >= 0);
  g_reads_on = 1;
  pthread_t reader;
  CHECK(pthread_create(&reader, NULL, read_again_and_again, &descriptor) == 0);
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) be_a_child(1);
    await_status(child, 7);
  }
  g_reads_on = 0;
  CHECK(pthread_join(reader, NULL) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_done, 0, 0) == 0);
  CHECK(sem_init(&g_of_child, 0, 0) == 0);
  if (strcmp(argv[1], "fork") == 0) {
    with_timers(fork);
  } else if (strcmp(argv[1], "plain_fork") == 0) {
    with_timers(_Fork);
  } else if (strcmp(argv[1], "fork_while_submitting") == 0) {
    while_submitting();
  } else if (strcmp(argv[1], "callback_returns") == 0) {
    in_callback(fork_and_return);
  } else {
    in_callback(fork_and_make_timers);
  }
  return 0;
}
