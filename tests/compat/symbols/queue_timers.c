/* SPDX-License-Identifier: MIT */
/*
 * Three timers on one queue, collected with the cookies and counts that they
 * must have.  One source, built in every way in which a program can come to
 * call the library:
 *
 *   as it is                with or without -lkevent (weak references)
 *   -DLOOKED_UP             every function found by dlsym(RTLD_DEFAULT)
 *   -DBOUND_TO="GLIBC_2.34" the timer calls bound to that version of glibc's
 *   -DPLUGIN                plugin_main() of a shared object
 */
#define _GNU_SOURCE
#define KEVENT_WEAK
#define KEVENT_NO_BINDING /* by the names that the C library has too */
#include <dlfcn.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef BOUND_TO
#define BIND(function) __asm__(".symver " #function ", " #function "@" BOUND_TO)
BIND(timer_create);
BIND(timer_settime);
BIND(timer_gettime);
BIND(timer_getoverrun);
BIND(timer_delete);
#endif

#ifdef LOOKED_UP
/* One pointer a function, of the function's own type, found before use. */
#define EACH_FUNCTION(X) \
  X(kevent_init)         \
  X(kevent_get_events)   \
  X(timer_create) X(timer_settime) X(timer_gettime) X(timer_getoverrun) X(timer_delete) X(close)
#define DECLARE(name) static __typeof__(&(name)) found_##name;
EACH_FUNCTION(DECLARE)
static void look_up(void) {
#define LOOK_UP(name)                                     \
  do {                                                    \
    void *address = dlsym(RTLD_DEFAULT, #name);           \
    memcpy(&found_##name, &address, sizeof found_##name); \
  } while (0);
  EACH_FUNCTION(LOOK_UP)
}
#define kevent_init found_kevent_init
#define kevent_get_events found_kevent_get_events
#define timer_create found_timer_create
#define timer_settime found_timer_settime
#define timer_gettime found_timer_gettime
#define timer_getoverrun found_timer_getoverrun
#define timer_delete found_timer_delete
#define close found_close
#endif

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "line %d: %s (errno %d: %s)\n", __LINE__, #condition, errno, \
              strerror(errno));                                                    \
      exit(1);                                                                     \
    }                                                                              \
  } while (0)

enum { kTimers = 3, kHour = 3600 };

/* How many files named libkevent.so* this process has mapped: a loaded object
 * has one mapping that begins at offset 0. */
static int libraries_mapped(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  char line[PATH_MAX + 128];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long offset;
    if (strstr(line, "/libkevent.so") != NULL && sscanf(line, "%*s %*s %lx", &offset) == 1 &&
        offset == 0) {
      count++;
    }
  }
  fclose(maps);
  return count;
}

#ifdef PLUGIN
#define ENTRY plugin_main
int plugin_main(void);
#else
#define ENTRY main
#endif

int ENTRY(void) {
#ifdef LOOKED_UP
  look_up();
  CHECK(kevent_init != NULL);
#else
  CHECK(kevent_available());
#endif
  CHECK(libraries_mapped() == 1);

  int kev_fd = kevent_init(NULL, 0, 0);
  CHECK(kev_fd >= 0);

  /* Wall-clock deadlines lie in the past by as much as is wanted, which those
   * of CLOCK_MONOTONIC do not soon after boot. */
  struct timespec now;
  CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
  const struct {
    time_t since_deadline;
    time_t interval;
    unsigned int overruns;
  } settings[kTimers] = {
      {1, 0, 0},
      {kHour / 2, kHour, 0},
      {10 * kHour + kHour / 2, kHour, 10}, /* half an hour from the next one */
  };

  char cookies[kTimers];
  timer_t timers[kTimers];
  for (int i = 0; i < kTimers; i++) {
    struct sigevent sigev = {
        .sigev_notify = SIGEV_KEVENT,
        .sigev_kevent_fd = kev_fd,
        .sigev_value.sival_ptr = &cookies[i],
    };
    CHECK(timer_create(CLOCK_REALTIME, &sigev, &timers[i]) == 0);
    struct itimerspec its = {
        .it_value = {.tv_sec = now.tv_sec - settings[i].since_deadline, .tv_nsec = now.tv_nsec},
        .it_interval = {.tv_sec = settings[i].interval},
    };
    CHECK(timer_settime(timers[i], TIMER_ABSTIME, &its, NULL) == 0);
  }

  struct ukevent events[kTimers + 1];
  const struct timespec timeout = {.tv_sec = 60};
  CHECK(kevent_get_events(kev_fd, kTimers, kTimers + 1, &timeout, events, 0) == kTimers);
  int seen[kTimers] = {0};
  for (int e = 0; e < kTimers; e++) {
    int i = 0;
    while (i < kTimers && events[e].ptr != &cookies[i]) i++;
    CHECK(i < kTimers);
    CHECK(!seen[i]++);
    CHECK(events[e].type == KEVENT_POSIX_TIMER);
    CHECK(events[e].event == KEVENT_TIMER_FIRED);
    CHECK(events[e].ret_flags == KEVENT_RET_DONE);
    CHECK(events[e].id.raw_u64 == (uint64_t)(uintptr_t)timers[i]);
    CHECK(events[e].ret_data[0] == settings[i].overruns);
    CHECK(timer_getoverrun(timers[i]) == (int)settings[i].overruns);
  }
  CHECK(kevent_get_events(kev_fd, 0, kTimers + 1, NULL, events, 0) == 0);

  for (int i = 0; i < kTimers; i++) {
    struct itimerspec its;
    CHECK(timer_gettime(timers[i], &its) == 0);
    CHECK(its.it_interval.tv_sec == settings[i].interval);
    CHECK((its.it_value.tv_sec != 0 || its.it_value.tv_nsec != 0) == (settings[i].interval != 0));
    CHECK(timer_delete(timers[i]) == 0);
    errno = 0;
    CHECK(timer_gettime(timers[i], &its) == -1 && errno == EINVAL);
  }

  CHECK(close(kev_fd) == 0);
  errno = 0;
  CHECK(kevent_get_events(kev_fd, 0, kTimers, NULL, events, 0) == -1 && errno == EBADF);
  printf("%d timers, %d completions, cookies and overruns right\n", kTimers, kTimers);
  return 0;
}
