/* SPDX-License-Identifier: MIT */
/* A plugin that is not linked to the library: see deep_host.c. */

#include <signal.h>
#include <time.h>

int plugin_create(struct sigevent *event, timer_t *timer);
int plugin_create(struct sigevent *event, timer_t *timer) {
  return timer_create(CLOCK_MONOTONIC, event, timer);
}

int plugin_settime(timer_t timer, const struct itimerspec *setting);
int plugin_settime(timer_t timer, const struct itimerspec *setting) {
  return timer_settime(timer, 0, setting, NULL);
}
