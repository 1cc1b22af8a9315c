/* SPDX-License-Identifier: MIT */
/* A queue in a loop of libev 4, compiled with EV_MULTIPLICITY as by default.  Link -lev. */
#ifndef KEVENT_LOOPS_LIBEV_H
#define KEVENT_LOOPS_LIBEV_H

#include <ev.h>
#include <kevent/loops/drain.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's. */
struct kevent_libev {
  ev_io io;
  struct kevent_drain drain;
};

static inline void kevent_libev_readable(struct ev_loop *loop, ev_io *io, int events) {
  struct kevent_libev *source = (struct kevent_libev *)io->data;
  (void)events;
  if (kevent_drain_run(&source->drain) == -1) ev_io_stop(loop, io);
}

/* Begins to hand over the events of the queue kev_fd, in the loop: 0, or -1 and errno. */
static inline int kevent_libev_start(struct ev_loop *loop, struct kevent_libev *source, int kev_fd,
                                     kevent_batch_function *function, void *argument) {
  if (kevent_drain_open(&source->drain, kev_fd, function, argument) == -1) return -1;
  memset(&source->io, 0, sizeof source->io);
  ev_io_init(&source->io, &kevent_libev_readable, kevent_drain_fd(&source->drain), EV_READ);
  source->io.data = source;
  ev_io_start(loop, &source->io);
  return 0;
}

/* Ends that.  May be called by the function. */
static inline void kevent_libev_close(struct ev_loop *loop, struct kevent_libev *source) {
  ev_io_stop(loop, &source->io);
  kevent_drain_close(&source->drain);
}

#ifdef __cplusplus
}
#endif

#endif
