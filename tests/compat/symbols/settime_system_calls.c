/* SPDX-License-Identifier: MIT */
/*
 * Counts the system calls that arming a timer makes when its deadline moves to
 * a later moment: there must be none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <kevent/kevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "system_calls.h"

enum { kCalls = 100000, kHour = 3600, kSkip = 77 };

static const struct {
  const char *name;
  clockid_t clock;
} clocks[] = {
    {"CLOCK_MONOTONIC", CLOCK_MONOTONIC},
    {"CLOCK_REALTIME", CLOCK_REALTIME},
    {"CLOCK_BOOTTIME", CLOCK_BOOTTIME},
};
enum { kClocks = sizeof clocks / sizeof clocks[0] };

static void fail(const char *what) {
  printf("%s: errno %d\n", what, errno);
  exit(1);
}

/* Prints and forgets what was counted. */
static int report(const char *clock, const char *what) {
  int made = counted;
  printf("%-16s %d calls, %s: %d system calls", clock, kCalls, what, made);
  if (made != 0) printf(" (the last has number %d)", (int)last_number);
  printf("\n");
  counted = 0;
  return made;
}

int main(void) {
  /* No buffer to be allocated and no terminal to be asked for later. */
  static char buffer[4096];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);

  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd < 0) fail("kevent_init");
  timer_t timers[kClocks];
  struct itimerspec its = {.it_value.tv_sec = kHour};
  for (int i = 0; i < kClocks; i++) {
    struct sigevent sigev = {.sigev_notify = SIGEV_KEVENT, .sigev_kevent_fd = kev_fd};
    if (timer_create(clocks[i].clock, &sigev, &timers[i]) != 0) fail("timer_create");
    /* The kernel is told of the first deadline, which is earlier than none; of
     * a relative and of an absolute one, as a clock that can be set has an
     * axis for each. */
    struct timespec now;
    if (clock_gettime(clocks[i].clock, &now) != 0) fail("clock_gettime");
    const struct itimerspec absolute = {.it_value.tv_sec = now.tv_sec + kHour};
    if (timer_settime(timers[i], TIMER_ABSTIME, &absolute, NULL) != 0) fail("timer_settime");
    if (timer_settime(timers[i], 0, &its, NULL) != 0) fail("timer_settime");
  }

  if (trap_system_calls() != 0) {
    printf("no seccomp filter can be had here: errno %d\n", errno);
    return kSkip;
  }
  syscall(SYS_getppid);
  if (counted != 1 || last_number != SYS_getppid) fail("the count does not count");
  counted = 0;

  int made = 0;
  int clocks_tested = 0;
  for (int i = 0; i < kClocks; i++) {
    struct timespec now;
    clock_gettime(clocks[i].clock, &now);
    if (counted != 0) {
      printf("%-16s is not read by the vDSO here: not tested\n", clocks[i].name);
      counted = 0;
      continue;
    }
    clocks_tested++;

    struct itimerspec old;
    for (int call = 1; call <= kCalls; call++) {
      its = (struct itimerspec){.it_value = {.tv_sec = kHour, .tv_nsec = call * 1000}};
      if (timer_settime(timers[i], 0, &its, &old) != 0) fail("timer_settime, relative");
      if (old.it_value.tv_sec == 0) fail("timer_settime: old value");
    }
    made += report(clocks[i].name, "later and later, relative");

    for (int call = 1; call <= kCalls; call++) {
      its = (struct itimerspec){.it_value = {.tv_sec = now.tv_sec + 2 * kHour + call},
                                .it_interval = {.tv_nsec = call}};
      if (timer_settime(timers[i], TIMER_ABSTIME, &its, NULL) != 0) fail("timer_settime, absolute");
    }
    made += report(clocks[i].name, "later and later, absolute");

    for (int call = 0; call < kCalls; call++) {
      its = (struct itimerspec){.it_value = {.tv_sec = call % 2 == 0 ? 0 : 3 * kHour}};
      if (timer_settime(timers[i], 0, &its, NULL) != 0) fail("timer_settime, disarming");
    }
    made += report(clocks[i].name, "disarmed and armed by turns");

    for (int call = 0; call < kCalls; call++) {
      if (timer_gettime(timers[i], &old) != 0) fail("timer_gettime");
      if (timer_getoverrun(timers[i]) != 0) fail("timer_getoverrun");
    }
    made += report(clocks[i].name, "read");
  }
  if (clocks_tested == 0) return kSkip;
  return made == 0 ? 0 : 1;
}
