/* SPDX-License-Identifier: MIT */
/*
 * aio_error in a handler that has interrupted it, beside threads that call it, and in the child of
 * a fork, of operations in flight and of others that have ended.  With the C library's the handler,
 * or the child, sooner or later waits for ever.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/check.h"

enum { kCallsOfHandler = 10000, kCallsOfEach = 10, kCallsOfFork = 200 };

static struct aiocb g_ended;
static struct aiocb g_in_flight;
static atomic_int g_calls_of_handler;
static atomic_int g_wrong;

static void ask(void) {
  if (aio_error(&g_ended) != 0) ++g_wrong;
  if (aio_error(&g_in_flight) != EINPROGRESS) ++g_wrong;
}

static void handle(int signal) {
  (void)signal;
  for (int i = 0; i < kCallsOfEach; ++i) ask();
  g_calls_of_handler += kCallsOfEach;
}

static void *ask_always(void *nothing) {
  for (;;) ask();
  return nothing;
}

static void begin_read(struct aiocb *control, int fd) {
  static char byte;
  control->aio_fildes = fd;
  control->aio_buf = &byte;
  control->aio_nbytes = 1;
  control->aio_sigevent.sigev_notify = SIGEV_NONE;
  CHECK(aio_read(control) == 0);
}

static void set_timer(void) {
  const struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  const struct itimerspec setting = {{0, 100000}, {0, 100000}};
  CHECK(timer_settime(timer, 0, &setting, NULL) == 0);
}

static void block(int how) {
  sigset_t signals;
  CHECK(sigemptyset(&signals) == 0);
  CHECK(sigaddset(&signals, SIGUSR1) == 0);
  CHECK(pthread_sigmask(how, &signals, NULL) == 0);
}

/* Ends by the alarm if it waits. */
static void ask_in_child(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    ask();
    _exit(g_wrong != 0);
  }
  int status;
  while (waitpid(child, &status, 0) != child) CHECK(errno == EINTR);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

int main(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const int file = open("/proc/self/exe", O_RDONLY);
  CHECK(file >= 0);
  begin_read(&g_ended, file);
  const struct aiocb *const list[] = {&g_ended};
  while (aio_error(&g_ended) == EINPROGRESS) CHECK(aio_suspend(list, 1, NULL) == 0);
  begin_read(&g_in_flight, ends[0]);

  alarm(120);
  block(SIG_BLOCK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, ask_always, NULL) == 0);
  block(SIG_UNBLOCK);
  set_timer();
  for (int calls = 0; g_calls_of_handler < kCallsOfHandler || calls < kCallsOfFork; ++calls) {
    for (int i = 0; i < 1000; ++i) ask();
    if (calls < kCallsOfFork) ask_in_child();
  }
  CHECK(g_wrong == 0);
  return 0;
}
