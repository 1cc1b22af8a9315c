/* SPDX-License-Identifier: MIT */
/*
 * An object opened with RTLD_DEEPBIND finds the C library's functions
 * before ours.  Then the C library gets what is meant for us: it must refuse,
 * and our timer must not notice.
 *
 *   deep_host PLUGIN
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compat/loading/use_queue.h"

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

int main(int argc, char **argv) {
  CHECK(argc == 2);
  void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  CHECK(plugin != NULL);
  int (*create)(struct sigevent *, timer_t *);
  int (*settime)(timer_t, const struct itimerspec *);
  void *address = dlsym(plugin, "plugin_create");
  memcpy(&create, &address, sizeof create);
  address = dlsym(plugin, "plugin_settime");
  memcpy(&settime, &address, sizeof settime);
  CHECK(create != NULL && settime != NULL);

  int kev_fd = kevent_init(NULL, 0, 0);
  CHECK(kev_fd >= 0);
  struct sigevent sigev;
  kevent_sigevent(&sigev, kev_fd, NULL);
  timer_t timer;
  CHECK(create(&sigev, &timer) == -1 && errno == EINVAL);

  CHECK(timer_create(CLOCK_MONOTONIC, &sigev, &timer) == 0);
  const struct itimerspec hour = {.it_value = {.tv_sec = 3600}};
  CHECK(timer_settime(timer, 0, &hour, NULL) == 0);
  const struct itimerspec at_once = {.it_value = {.tv_nsec = 1}};
  CHECK(settime(timer, &at_once) == -1 && errno == EINVAL);
  struct itimerspec left;
  CHECK(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec >= 3500);
  CHECK(timer_delete(timer) == 0 && close(kev_fd) == 0);
  printf("refused by the C library, unnoticed by the timer\n");
  return 0;
}
