/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_TIMER: timer_create(3C), signal.h(3HEAD). */

#include <signal.h>
#include <time.h>

#include "table.h"

int main(void) {
  struct sigevent sigev;
  timer_t timer;
  make_port();
  port_notify_t notify = {port, (void *)3};
  memset(&sigev, 0, sizeof sigev);
  sigev.sigev_notify = SIGEV_PORT;
  sigev.sigev_value.sival_ptr = &notify;

  call("a timer is associated by SIGEV_PORT", timer_create(CLOCK_REALTIME, &sigev, &timer));
  memset(&notify, 0, sizeof notify);
  const uintptr_t object = (uintptr_t)timer;
  retrieved("a new timer is disarmed", 1, 16, object);
  struct itimerspec once = {{0, 0}, {0, 1}};
  EXPECT(timer_settime(timer, 0, &once, NULL) == 0);
  awaited("an expiration is an event, with the timer_t as object", object);
  retrieved("  and one only", 1, 16, object);
  struct itimerspec passed = {{0, 1}, {0, 1}};
  EXPECT(timer_settime(timer, TIMER_ABSTIME, &passed, NULL) == 0);
  awaited("events: how often it has expired (here: more than there are)", object);
  struct itimerspec never = {{0, 0}, {0, 0}};
  EXPECT(timer_settime(timer, 0, &never, NULL) == 0);
  retrieved("a timer that is disarmed has no event", 1, 16, object);
  call("a timer is deleted", timer_delete(timer));
  return 0;
}
