/* SPDX-License-Identifier: MIT */
/*
 * pool SCENARIO: what only threads that are used again do.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/adapters/threads/limits.h"
#include "tests/adapters/threads/sigev_thread.h"

static sem_t g_done;
static timer_t g_timer;

static void post(union sigval value) { CHECK(sem_post(value.sival_ptr) == 0); }

static void make_one_callback(void) {
  const timer_t timer = make_timer(post, &g_done);
  arm(timer, 1, 0);
  await(&g_done);
  CHECK(timer_delete(timer) == 0);
}

/* ---- Threads --------------------------------------------------------------- */

static atomic_int g_threads;
static __thread int g_has_been_here;

static void count_thread(union sigval value) {
  if (!g_has_been_here) ++g_threads;
  g_has_been_here = 1;
  post(value);
}

/* A spare one that has had nothing to do for a second leaves, so there may be some. */
static void are_used_again(void) {
  const timer_t timer = make_timer(count_thread, &g_done);
  for (int i = 0; i < 1000; ++i) {
    arm(timer, 1, 0);
    await(&g_done);
  }
  CHECK(g_threads < 100);
}

static void leave(void) {
  for (int i = 0; i < 2; ++i) {
    make_one_callback();
    while (count_threads() > 1) sched_yield();
  }
}

/* Without its first thread, a process goes on until the others have left. */
static void let_the_process_end(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    make_one_callback();
    pthread_exit(NULL);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- One thread, and there can be no more ---------------------------------- */

enum { kMany = 20000 };

static atomic_int g_callbacks;

static void go_on(void) {
  if (++g_callbacks == kMany) {
    CHECK(sem_post(&g_done) == 0);
  } else {
    arm(g_timer, 1, 0);
  }
}

static void exit_thread(union sigval value) {
  (void)value;
  go_on();
  pthread_exit(NULL);
}

static pthread_key_t g_key;

static void set_data(union sigval value) {
  (void)value;
  CHECK(pthread_setspecific(g_key, "data") == 0);
  go_on();
}

static void make_many(callback_function *function) {
  g_timer = make_timer(function, NULL);
  make_one_callback();
  allow_no_more_threads();
  arm(g_timer, 1, 0);
  await(&g_done);
  CHECK(g_callbacks == kMany);
  make_one_callback();
}

static void exit_in_vain(void) { make_many(exit_thread); }

static void retire_in_vain(void) {
  CHECK(pthread_key_create(&g_key, NULL) == 0);
  make_many(set_data);
}

/* ---- One thread, which is busy --------------------------------------------- */

static sem_t g_busy;
static sem_t g_go_on;

static void keep_busy(union sigval value) {
  (void)value;
  CHECK(sem_post(&g_busy) == 0);
  await(&g_go_on);
}

static void count_deleted(union sigval value) { ++*(atomic_int *)value.sival_ptr; }

static void keep_from_deleted(void) {
  enum { kTimers = 100 };
  atomic_int deleted = 0;
  const timer_t busy = make_timer(keep_busy, NULL);
  timer_t timers[kTimers];
  for (int i = 0; i < kTimers; ++i) timers[i] = make_timer(count_deleted, &deleted);
  allow_no_more_threads();
  arm(busy, 1, 0);
  await(&g_busy);
  for (int i = 0; i < kTimers; ++i) arm(timers[i], 1, 0);
  for (int i = 0; i < kTimers; ++i) {
    while (is_armed(timers[i])) sched_yield();
    CHECK(timer_delete(timers[i]) == 0);
  }
  const timer_t after = make_timer(post, &g_done);
  arm(after, 1, 0);
  CHECK(sem_post(&g_go_on) == 0);
  await(&g_done);
  CHECK(deleted == 0);
}

/* ---- Descriptors ----------------------------------------------------------- */

static void take_no_low_descriptor(void) {
  const int before = open("/dev/null", O_RDONLY);
  make_one_callback();
  const int after = open("/dev/null", O_RDONLY);
  CHECK(before >= 0 && after == before + 1);
}

static void outlive_closed_descriptors(void) {
  make_one_callback();
  for (int i = 0; i < 10; ++i) {
    closefrom(3);
    make_one_callback();
  }
}

static const struct scenario {
  const char *name;
  void (*run)(void);
} kScenarios[] = {
    {"are_used_again", are_used_again},
    {"leave", leave},
    {"let_the_process_end", let_the_process_end},
    {"exit_in_vain", exit_in_vain},
    {"retire_in_vain", retire_in_vain},
    {"keep_from_deleted", keep_from_deleted},
    {"take_no_low_descriptor", take_no_low_descriptor},
    {"outlive_closed_descriptors", outlive_closed_descriptors},
};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_done, 0, 0) == 0);
  CHECK(sem_init(&g_busy, 0, 0) == 0);
  CHECK(sem_init(&g_go_on, 0, 0) == 0);
  for (size_t i = 0; i < sizeof kScenarios / sizeof *kScenarios; ++i) {
    if (strcmp(kScenarios[i].name, argv[1]) != 0) continue;
    kScenarios[i].run();
    return 0;
  }
  CHECK(!"a scenario of this name");
}
