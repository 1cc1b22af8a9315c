/* SPDX-License-Identifier: MIT */
/* A queue in a loop of libevent 2.  Link -levent_core. */
#ifndef KEVENT_LOOPS_LIBEVENT_H
#define KEVENT_LOOPS_LIBEVENT_H

#include <event2/event.h>
#include <kevent/loops/drain.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's. */
struct kevent_libevent {
  struct event *event; /* NULL: closed */
  struct kevent_drain drain;
};

static inline void kevent_libevent_readable(evutil_socket_t fd, short events, void *argument) {
  struct kevent_libevent *source = (struct kevent_libevent *)argument;
  (void)fd, (void)events;
  if (kevent_drain_run(&source->drain) == -1) event_del(source->event);
}

/* Ends what kevent_libevent_start has begun.  May be called by the function. */
static inline void kevent_libevent_close(struct kevent_libevent *source) {
  if (source->event != NULL) event_free(source->event);
  source->event = NULL;
  kevent_drain_close(&source->drain);
}

/* Begins to hand over the events of the queue kev_fd, in the loop: 0, or -1 and errno. */
static inline int kevent_libevent_start(struct event_base *base, struct kevent_libevent *source,
                                        int kev_fd, kevent_batch_function *function,
                                        void *argument) {
  source->event = NULL;
  if (kevent_drain_open(&source->drain, kev_fd, function, argument) == -1) return -1;
  source->event = event_new(base, kevent_drain_fd(&source->drain), EV_READ | EV_PERSIST,
                            &kevent_libevent_readable, source);
  if (source->event != NULL && event_add(source->event, NULL) == 0) return 0;
  kevent_libevent_close(source);
  errno = ENOMEM;
  return -1;
}

#ifdef __cplusplus
}
#endif

#endif
