/* SPDX-License-Identifier: MIT */
/*
 * What does a timer of a kqueue cost that is set again, and one that expires?  A program for any
 * library with <sys/event.h>: the build has it with libkevent-kqueue, and with libkqueue where
 * that is installed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <time.h>

enum { count = 10000, batch = 512 };

static struct kevent changes[count];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Processor time of all threads, in seconds. */
static double used(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* All timers, `at_once` of them in each call, to expire once after so many milliseconds. */
static void set(int kq, int at_once, int64_t milliseconds) {
  for (int i = 0; i < count; i++) {
    EV_SET(&changes[i], i, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, milliseconds, 0);
  }
  for (int i = 0; i < count; i += at_once) {
    const int some = count - i < at_once ? count - i : at_once;
    if (kevent(kq, changes + i, some, NULL, 0, NULL) == -1) fail("kevent");
  }
}

static void expire(int kq) {
  struct kevent events[batch];
  int seen = 0;
  while (seen < count) {
    const int some = kevent(kq, NULL, 0, events, batch, NULL);
    if (some == -1) fail("kevent");
    seen += some;
  }
}

static void print(const char *what, double before) {
  printf("%s %.0f\n", what, (used() - before) * 1e9 / count);
}

static void usage(const char *name) {
  printf(
      "usage: %s\n\n"
      "Sets 10 000 timers of a kqueue, sets them again one in a call and 100 in a call, and lets\n"
      "them expire.  Prints the processor time of each step, in nanoseconds for one timer.\n\n"
      "  --help  print this and exit\n",
      name);
}

int main(int argument_count, char **arguments) {
  struct rlimit limit;
  double before;
  int kq;

  if (argument_count > 1) {
    if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0) {
      usage(arguments[0]);
      return 0;
    }
    fprintf(stderr, "%s: surplus argument '%s'\nTry '%s --help'.\n", arguments[0], arguments[1],
            arguments[0]);
    return 2;
  }
  /* Some libraries take a descriptor for each timer. */
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  kq = kqueue();
  if (kq == -1) fail("kqueue");
  before = used();
  set(kq, 100, 3600000);
  print("set", before);
  before = used();
  set(kq, 1, 3600000);
  print("again", before);
  before = used();
  set(kq, 100, 3600000);
  print("again_100", before);
  set(kq, 100, 1);
  before = used();
  expire(kq);
  print("expire", before);
  before = used();
  for (int i = 0; i < 10; i++) {
    set(kq, 100, 1);
    expire(kq);
  }
  printf("cycle %.0f\n", (used() - before) * 1e9 / count / 10);
  return 0;
}
