/* SPDX-License-Identifier: MIT */
/*
 * Prints what a callback of each kind finds in its thread, again after a callback that has changed
 * all of it: the same with the adapter and without.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/adapters/threads/sigev_thread.h"

static sem_t g_done;
static pthread_key_t g_key;
static char g_signal_stack[65536];
static cpu_set_t g_cpus;

static const char *blocked_signals(void) {
  static const int kSignals[] = {SIGHUP, SIGINT, SIGUSR1, SIGALRM, SIGTERM, SIGCHLD, SIGPROF};
  sigset_t mask;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
  int blocked = 0;
  const int count = (int)(sizeof kSignals / sizeof *kSignals);
  for (int i = 0; i < count; ++i) blocked += sigismember(&mask, kSignals[i]);
  blocked += sigismember(&mask, SIGRTMIN) + sigismember(&mask, SIGRTMAX);
  return blocked == 0 ? "none" : blocked == count + 2 ? "all" : "some";
}

static void print_cancellation(void) {
  int state;
  int type;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state) == 0);
  CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0);
  CHECK(pthread_setcancelstate(state, NULL) == 0);
  printf(" cancel=%s,%s", state == PTHREAD_CANCEL_ENABLE ? "enabled" : "disabled",
         type == PTHREAD_CANCEL_DEFERRED ? "deferred" : "asynchronous");
}

/* The C library may give a thread a larger stack than it asked for, one that another has left. */
static void print_stack(void) {
  pthread_attr_t attributes;
  size_t stack;
  size_t guard;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstacksize(&attributes, &stack) == 0);
  CHECK(pthread_attr_getguardsize(&attributes, &guard) == 0);
  CHECK(pthread_attr_destroy(&attributes) == 0);
  printf(" stack=%s guard=%zu", stack >= 131072 ? "enough" : "small", guard);
}

static void print_what_is_found(const char *kind) {
  const int error = errno;
  char name[16];
  CHECK(prctl(PR_GET_NAME, name) == 0);
  stack_t signal_stack;
  CHECK(sigaltstack(NULL, &signal_stack) == 0);
  cpu_set_t cpus;
  CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  printf("%s: blocked=%s errno=%d name=%s", kind, blocked_signals(), error, name);
  print_cancellation();
  print_stack();
  printf(" rounding=%s exceptions=%d locale=%s", fegetround() == FE_UPWARD ? "up" : "other",
         fetestexcept(FE_ALL_EXCEPT),
         uselocale((locale_t)0) == LC_GLOBAL_LOCALE ? "global" : "own");
  printf(" data=%p altstack=%d policy=%d nice=%d cpus=%s\n", pthread_getspecific(g_key),
         signal_stack.ss_flags, sched_getscheduler(0), getpriority(PRIO_PROCESS, (id_t)gettid()),
         CPU_EQUAL(&cpus, &g_cpus) ? "all" : "other");
}

static void change_all_of_it(void) {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGHUP);
  CHECK(pthread_sigmask(SIG_SETMASK, &some, NULL) == 0);
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL) == 0);
  CHECK(prctl(PR_SET_NAME, "changed") == 0);
  CHECK(fesetround(FE_TOWARDZERO) == 0);
  CHECK(feraiseexcept(FE_DIVBYZERO) == 0);
  uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
  errno = EXDEV;
}

/* Of these a thread that is used again cannot be made free. */
static void change_the_thread(void) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(setpriority(PRIO_PROCESS, (id_t)gettid(), 7) == 0);
  const stack_t signal_stack = {.ss_sp = g_signal_stack, .ss_size = sizeof g_signal_stack};
  CHECK(sigaltstack(&signal_stack, NULL) == 0);
  CHECK(pthread_setspecific(g_key, "set") == 0);
}

static unsigned g_made;

static void callback(union sigval value) {
  print_what_is_found(value.sival_ptr);
  change_all_of_it();
  if (g_made++ % 2 != 0) change_the_thread();
  CHECK(sem_post(&g_done) == 0);
}

static void by_timer(pthread_attr_t *attributes) {
  struct sigevent event = by_thread(callback, "timer", attributes);
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  arm(timer, 1, 0);
  await(&g_done);
  CHECK(timer_delete(timer) == 0);
}

static void by_message(pthread_attr_t *attributes) {
  char name[64];
  snprintf(name, sizeof name, "/kevent.fresh.%d", (int)getpid());
  struct mq_attr queue = {.mq_maxmsg = 1, .mq_msgsize = 1};
  const mqd_t id = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &queue);
  CHECK(id >= 0);
  CHECK(mq_unlink(name) == 0);
  const struct sigevent event = by_thread(callback, "message", attributes);
  CHECK(mq_notify(id, &event) == 0);
  CHECK(mq_send(id, "m", 1, 0) == 0);
  await(&g_done);
  CHECK(mq_close(id) == 0);
}

static void by_operation(int fd, pthread_attr_t *attributes) {
  char byte;
  struct aiocb control = {.aio_fildes = fd, .aio_buf = &byte, .aio_nbytes = 1};
  control.aio_sigevent = by_thread(callback, "read", attributes);
  CHECK(aio_read(&control) == 0);
  await(&g_done);
  control.aio_lio_opcode = LIO_READ;
  control.aio_sigevent.sigev_notify = SIGEV_NONE;
  struct aiocb *const list[] = {&control};
  struct sigevent event = by_thread(callback, "list", attributes);
  CHECK(lio_listio(LIO_NOWAIT, list, 1, &event) == 0);
  await(&g_done);
}

static void by_lookup(pthread_attr_t *attributes) {
  struct gaicb request = {.ar_name = "127.0.0.1"};
  struct gaicb *list[] = {&request};
  struct sigevent event = by_thread(callback, "look-up", attributes);
  CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, &event) == 0);
  await(&g_done);
  freeaddrinfo(request.ar_result);
}

int main(void) {
  CHECK(sem_init(&g_done, 0, 0) == 0);
  CHECK(pthread_key_create(&g_key, NULL) == 0);
  CHECK(sched_getaffinity(0, sizeof g_cpus, &g_cpus) == 0);
  CHECK(prctl(PR_SET_NAME, "maker") == 0);
  CHECK(fesetround(FE_UPWARD) == 0);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
  const int fd = open("/proc/self/exe", O_RDONLY);
  CHECK(fd >= 0);

  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, 131072) == 0);
  CHECK(pthread_attr_setguardsize(&attributes, 16384) == 0);
  for (int round = 0; round < 6; ++round) {
    pthread_attr_t *const given = round % 2 == 0 ? NULL : &attributes;
    by_timer(given);
    by_message(given);
    by_operation(fd, given);
    by_lookup(given);
  }
  return 0;
}
