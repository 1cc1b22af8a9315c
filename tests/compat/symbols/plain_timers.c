/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of libkevent: timers of every other kind of
 * notification, every clock's answer, and calls that must fail.  It prints all
 * that it observes and nothing that differs between two runs, so that its
 * output without libkevent says what its output with libkevent must be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { kHour = 3600, kUntouched = 1234 };

static void report(const char *what, int result) {
  int error = errno;
  printf("%-46s %d", what, result);
  if (result == -1) {
    printf(" %s", strerrorname_np(error));
  } else if (error != kUntouched) {
    printf(" errno set to %s", strerrorname_np(error));
  }
  printf("\n");
}

/* Makes the call with a known errno, prints its result and what became of errno. */
#define REPORT(what, call) \
  do {                     \
    errno = kUntouched;    \
    report(what, (call));  \
  } while (0)

static struct itimerspec seconds(time_t value, time_t interval) {
  struct itimerspec its = {.it_value.tv_sec = value, .it_interval.tv_sec = interval};
  return its;
}

/* A deadline half an hour after the tenth expiration, in wall-clock time. */
static struct itimerspec ten_overruns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct itimerspec its = seconds(now.tv_sec - 10 * kHour - kHour / 2, kHour);
  return its;
}

static void bad_handles(const char *what, timer_t timer) {
  struct itimerspec its = seconds(1, 0);
  printf("%s\n", what);
  REPORT("  timer_settime", timer_settime(timer, 0, &its, NULL));
  REPORT("  timer_gettime", timer_gettime(timer, &its));
  REPORT("  timer_getoverrun", timer_getoverrun(timer));
  REPORT("  timer_delete", timer_delete(timer));
}

static void through_life(timer_t timer) {
  struct itimerspec its = seconds(2 * kHour, kHour);
  struct itimerspec old = seconds(7, 7);
  REPORT("  arm", timer_settime(timer, 0, &its, &old));
  printf("  old %ld %ld\n", (long)old.it_value.tv_sec, (long)old.it_interval.tv_sec);
  REPORT("  read", timer_gettime(timer, &its));
  printf("  more than an hour %d, interval %ld\n", its.it_value.tv_sec >= kHour,
         (long)its.it_interval.tv_sec);
  REPORT("  read into NULL", timer_gettime(timer, NULL));
  REPORT("  set to NULL", timer_settime(timer, 0, NULL, &old));
  its = seconds(kHour, 0);
  its.it_value.tv_nsec = 1000000000;
  REPORT("  nanoseconds out of range", timer_settime(timer, 0, &its, &old));
  its = seconds(-1, 0);
  REPORT("  negative", timer_settime(timer, 0, &its, &old));
  its = seconds(kHour, 0);
  REPORT("  unknown flag", timer_settime(timer, 0x80, &its, &old));
  printf("  old interval %ld\n", (long)old.it_interval.tv_sec);
  its = seconds(0, 5);
  REPORT("  disarm", timer_settime(timer, 0, &its, &old));
  REPORT("  read", timer_gettime(timer, &its));
  /* Linux 6.18 goes on counting down for a disarmed SIGEV_NONE timer: hence no number here. */
  printf("  armed %d, interval %ld\n", its.it_value.tv_sec != 0, (long)its.it_interval.tv_sec);
  REPORT("  overrun", timer_getoverrun(timer));
}

/* Takes one signal of a timer that expired ten times more than once. */
static void collect_signal(timer_t timer, int signo) {
  struct itimerspec its = ten_overruns();
  REPORT("  arm in the past", timer_settime(timer, TIMER_ABSTIME, &its, NULL));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int taken = sigwaitinfo(&set, &info);
  printf("  signal as asked %d, SI_TIMER %d, value %d, overrun %d\n", taken == signo,
         info.si_code == SI_TIMER, info.si_value.sival_int, info.si_overrun);
  REPORT("  overrun", timer_getoverrun(timer));
}

static void by_signal(void) {
  int signo = SIGRTMIN + 3;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  struct sigevent sigev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
  sigev.sigev_value.sival_int = 4711;
  timer_t timer;
  printf("SIGEV_SIGNAL\n");
  REPORT("  create", timer_create(CLOCK_REALTIME, &sigev, &timer));
  through_life(timer);
  collect_signal(timer, signo);

  /* A timer of the parent's is none of the child's. */
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    bad_handles("  in a child", timer);
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  REPORT("  delete", timer_delete(timer));
  bad_handles("deleted", timer);

  printf("SIGEV_THREAD_ID\n");
  sigev.sigev_notify = SIGEV_SIGNAL | SIGEV_THREAD_ID;
  sigev.sigev_notify_thread_id = (int)syscall(SYS_gettid);
  REPORT("  create", timer_create(CLOCK_REALTIME, &sigev, &timer));
  collect_signal(timer, signo);
  REPORT("  delete", timer_delete(timer));

  printf("NULL\n");
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  REPORT("  create", timer_create(CLOCK_REALTIME, NULL, &timer));
  collect_signal(timer, SIGALRM);
  REPORT("  delete", timer_delete(timer));

  static const struct {
    const char *name;
    clockid_t clock;
  } cpu_clocks[] = {
      {"CLOCK_PROCESS_CPUTIME_ID", CLOCK_PROCESS_CPUTIME_ID},
      {"CLOCK_THREAD_CPUTIME_ID", CLOCK_THREAD_CPUTIME_ID},
  };
  sigev.sigev_notify = SIGEV_SIGNAL;
  for (size_t i = 0; i < sizeof cpu_clocks / sizeof cpu_clocks[0]; i++) {
    printf("%s\n", cpu_clocks[i].name);
    REPORT("  create", timer_create(cpu_clocks[i].clock, &sigev, &timer));
    struct itimerspec its = {.it_value.tv_nsec = 1000000};
    REPORT("  arm", timer_settime(timer, 0, &its, NULL));
    /* Burns the time that the clock counts, until it has counted enough. */
    do {
      sigpending(&set);
    } while (!sigismember(&set, signo));
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, signo);
    REPORT("  signal as asked", sigwaitinfo(&set, &info) == signo);
    printf("  value %d, overrun %d\n", info.si_value.sival_int, info.si_overrun);
    REPORT("  read", timer_gettime(timer, &its));
    printf("  value %ld %ld\n", (long)its.it_value.tv_sec, its.it_value.tv_nsec);
    REPORT("  delete", timer_delete(timer));
  }
}

static sem_t called;
static int called_with;

static void on_expiration(union sigval value) {
  called_with = value.sival_int;
  sem_post(&called);
}

static void by_thread(void) {
  sem_init(&called, 0, 0);
  struct sigevent sigev = {.sigev_notify = SIGEV_THREAD};
  sigev.sigev_value.sival_int = 1729;
  sigev.sigev_notify_function = on_expiration;
  timer_t timer;
  printf("SIGEV_THREAD\n");
  REPORT("  create", timer_create(CLOCK_MONOTONIC, &sigev, &timer));
  through_life(timer);
  struct itimerspec its = {.it_value.tv_nsec = 1};
  REPORT("  arm", timer_settime(timer, 0, &its, NULL));
  while (sem_wait(&called) == -1) {
  }
  printf("  called with %d\n", called_with);
  REPORT("  delete", timer_delete(timer));
}

static void by_nothing(void) {
  struct sigevent sigev = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  printf("SIGEV_NONE\n");
  REPORT("  create", timer_create(CLOCK_BOOTTIME, &sigev, &timer));
  through_life(timer);
  REPORT("  delete", timer_delete(timer));

  static const clockid_t clocks[] = {-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 9999};
  for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
    char what[32];
    snprintf(what, sizeof what, "clock %d", (int)clocks[i]);
    int made;
    REPORT(what, made = timer_create(clocks[i], &sigev, &timer));
    if (made == 0) timer_delete(timer);
  }
}

static void by_no_such_thing(void) {
  static const int notifications[] = {3,    5, 6, 7, 8 | 1, 8 | SIGEV_THREAD, 8 | SIGEV_THREAD_ID,
                                      9999, -1};
  for (size_t i = 0; i < sizeof notifications / sizeof notifications[0]; i++) {
    struct sigevent sigev = {.sigev_notify = notifications[i], .sigev_signo = SIGUSR1};
    sigev.sigev_notify_thread_id = -1;
    timer_t timer;
    char what[32];
    snprintf(what, sizeof what, "sigev_notify %d", notifications[i]);
    int made;
    REPORT(what, made = timer_create(CLOCK_MONOTONIC, &sigev, &timer));
    if (made == 0) timer_delete(timer);
  }
  struct sigevent sigev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 9999};
  timer_t timer;
  REPORT("no such signal", timer_create(CLOCK_MONOTONIC, &sigev, &timer));
}

int main(void) {
  /* Before any timer exists, so that no number is one by chance.  Numbers with
   * the highest bit set are left out: glibc takes them for its own pointers. */
  bad_handles("0", (timer_t)0);
  bad_handles("12345", (timer_t)12345);
  bad_handles("a number as libkevent's handles are", (timer_t)0x4000000180000005);
  by_signal();
  by_thread();
  by_nothing();
  by_no_such_thing();
  return 0;
}
