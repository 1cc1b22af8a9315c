/* SPDX-License-Identifier: MIT */
/*
 * thread_timers spread|together none|memory|threads: 1 000 timers of 100 Hz with SIGEV_THREAD for
 * four seconds, whose expirations are spread over the period or come together, and at a limit of
 * memory or threads that is reached once the timers are there.  It knows nothing of libkevent.
 *
 * Prints how many expirations were due, how many callbacks were made, how many expirations
 * timer_getoverrun has told these of, the threads that were seen at most, and the CPU time of all,
 * in microseconds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kTimers = 1000, kNobody = 65534 };
static const long long kSecond = 1000000000;
static const long long kPeriod = 10000000;
static const long long kLead = 200000000; /* until the first expiration */
static const long long kTime = 4000000000;

static timer_t timers[kTimers];
static atomic_long callbacks;
static atomic_long overruns;

static void Must(int good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static void OnTimer(union sigval value) {
  const int more = timer_getoverrun(timers[value.sival_int]);
  callbacks++;
  if (more > 0) overruns += more;
}

static long long Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

static long long CpuTime(void) {
  struct timespec spent;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return spent.tv_sec * kSecond + spent.tv_nsec;
}

static int Threads(void) {
  DIR *const tasks = opendir("/proc/self/task");
  int count = -2; /* . and .. */
  if (tasks == NULL) return 0;
  while (readdir(tasks) != NULL) ++count;
  closedir(tasks);
  return count;
}

static void LimitMemory(void) {
  unsigned long pages = 0;
  FILE *const file = fopen("/proc/self/statm", "r");
  Must(file != NULL && fscanf(file, "%lu", &pages) == 1, "/proc/self/statm");
  fclose(file);
  const rlim_t bytes = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (20 << 20);
  const struct rlimit limit = {bytes, bytes};
  Must(setrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
}

/* The limit does not hold for root. */
static void LimitThreads(void) {
  const struct rlimit limit = {3, 3};
  if (geteuid() == 0) {
    Must(setgroups(0, NULL) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
             setresuid(kNobody, kNobody, kNobody) == 0,
         "setresuid");
  }
  Must(setrlimit(RLIMIT_NPROC, &limit) == 0, "RLIMIT_NPROC");
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s spread|together none|memory|threads\n", argv[0]);
    return 2;
  }
  const int is_spread = strcmp(argv[1], "spread") == 0;
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = OnTimer;
  for (int i = 0; i < kTimers; ++i) {
    event.sigev_value.sival_int = i;
    Must(timer_create(CLOCK_MONOTONIC, &event, &timers[i]) == 0, "timer_create");
  }
  if (strcmp(argv[2], "memory") == 0) LimitMemory();
  if (strcmp(argv[2], "threads") == 0) LimitThreads();

  const long long begin = Now() + kLead;
  const long long cpu = CpuTime();
  for (int i = 0; i < kTimers; ++i) {
    const long long first = begin + (is_spread ? kPeriod * i / kTimers : 0);
    const struct itimerspec setting = {{0, kPeriod}, {first / kSecond, first % kSecond}};
    Must(timer_settime(timers[i], TIMER_ABSTIME, &setting, NULL) == 0, "timer_settime");
  }
  int most = 0;
  while (Now() < begin + kTime) {
    const int threads = Threads();
    if (threads > most) most = threads;
    usleep(50000);
  }
  const struct itimerspec never = {{0, 0}, {0, 0}};
  for (int i = 0; i < kTimers; ++i) timer_settime(timers[i], 0, &never, NULL);
  const long long end = Now();
  const long long spent = CpuTime() - cpu;
  sleep(1); /* for callbacks that have begun */
  printf("%lld %ld %ld %d %lld\n", (end - begin) / kPeriod * kTimers, atomic_load(&callbacks),
         atomic_load(&overruns), most, spent / 1000);
  return 0;
}
