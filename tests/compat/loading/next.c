/* SPDX-License-Identifier: MIT */
/*
 * A shared object that stands before the library and finds it by
 * dlsym(RTLD_NEXT), as tracers and profilers do.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* ISO C has no conversion from an object's address to a function's. */
static int (*next_timer_create(void))(clockid_t, struct sigevent *, timer_t *) {
  void *address = dlsym(RTLD_NEXT, "timer_create");
  int (*function)(clockid_t, struct sigevent *, timer_t *);
  memcpy(&function, &address, sizeof function);
  return function;
}

EXPORTED int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer) {
  dprintf(STDOUT_FILENO, "passed on\n");
  return next_timer_create()(clock, event, timer);
}
