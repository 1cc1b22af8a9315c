// SPDX-License-Identifier: MIT
//
// An object that is put in front of libkevent and passes each setting of a timer on: what any
// adapter costs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

typedef int (*set_call)(timer_t, int, const struct itimerspec *, struct itimerspec *);

static set_call g_next;

__attribute__((constructor)) static void find_next(void) {
  g_next = (set_call)dlsym(RTLD_NEXT, "kevent_timer_settime");
}

int kevent_timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                         struct itimerspec *old_value);

int kevent_timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                         struct itimerspec *old_value) {
  return g_next(timer, flags, value, old_value);
}
