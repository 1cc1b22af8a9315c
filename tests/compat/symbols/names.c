/* SPDX-License-Identifier: MIT */
/*
 * Compiled, never run: check_names.sh looks at what each call is to be linked to.
 * BEFORE has the standard headers included first, EARLY also has a name used.
 */
#if defined(BEFORE) || defined(EARLY)
#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <signal.h>
#include <time.h>
#endif

#ifdef EARLY
int early(struct sigevent *event, timer_t *timer);
int early(struct sigevent *event, timer_t *timer) { return timer_create(0, event, timer); }
#endif

#include <aio.h>
#include <kevent/kevent.h>
#include <mqueue.h>
#include <netdb.h>
#include <time.h>
#include <unistd.h>

int call_all(struct sigevent *event, timer_t *timer, struct aiocb *control, struct gaicb **names);
int call_all(struct sigevent *event, timer_t *timer, struct aiocb *control, struct gaicb **names) {
  struct aiocb *list[] = {control};
  const struct aiocb *const waited_for[] = {control};
  int sum = timer_create(CLOCK_MONOTONIC, event, timer) + timer_settime(*timer, 0, NULL, NULL) +
            timer_gettime(*timer, NULL) + timer_getoverrun(*timer) + timer_delete(*timer);
  sum += mq_notify(0, event) + aio_read(control) + aio_write(control) + aio_fsync(0, control) +
         aio_cancel(0, control) + aio_suspend(waited_for, 1, NULL) + lio_listio(0, list, 1, event);
  sum += getaddrinfo_a(0, names, 1, event);
  /* The C library's in any case. */
  sum += aio_error(control) + (int)aio_return(control) + close(0) + dup(0);
  return sum;
}
