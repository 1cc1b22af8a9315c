/* SPDX-License-Identifier: MIT */
/* A program for event ports: a timer completes into a port. */
#include <port.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(void) {
  port_notify_t notify;
  struct sigevent sigev;
  struct itimerspec once = {{0, 0}, {0, 1}};
  timer_t timer;
  port_event_t event;

  notify.portnfy_port = port_create();
  notify.portnfy_user = &timer;
  memset(&sigev, 0, sizeof sigev);
  sigev.sigev_notify = SIGEV_PORT;
  sigev.sigev_value.sival_ptr = &notify;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) != 0) return 1;
  if (timer_settime(timer, 0, &once, NULL) != 0) return 2;
  if (port_get(notify.portnfy_port, &event, NULL) != 0) return 3;
  if (event.portev_source != PORT_SOURCE_TIMER || event.portev_user != &timer) return 4;
  printf("a timer has expired into a port\n");
  return 0;
}
