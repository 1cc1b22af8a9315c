/* SPDX-License-Identifier: MIT */
/* A queue in a loop of libuv.  Link -luv. */
#ifndef KEVENT_LOOPS_UV_H
#define KEVENT_LOOPS_UV_H

#include <kevent/loops/drain.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's.  `handle` is of libuv: the structure lives until `closed` is called. */
struct kevent_uv {
  uv_poll_t handle;
  struct kevent_drain drain;
  void (*closed)(struct kevent_uv *); /* called when kevent_uv_close has ended; or NULL */
};

static inline void kevent_uv_readable(uv_poll_t *handle, int status, int events) {
  struct kevent_uv *source = (struct kevent_uv *)handle->data;
  (void)events;
  if (status == 0 && kevent_drain_run(&source->drain) == -1) uv_poll_stop(handle);
}

static inline void kevent_uv_closed(uv_handle_t *handle) {
  struct kevent_uv *source = (struct kevent_uv *)handle->data;
  if (source->closed != NULL) source->closed(source);
}

/* Begins to hand over the events of the queue kev_fd, in the loop: 0, or a negative error of libuv.
 * After an error there is nothing to close. */
static inline int kevent_uv_start(uv_loop_t *loop, struct kevent_uv *source, int kev_fd,
                                  kevent_batch_function *function, void *argument) {
  int error;
  source->closed = NULL;
  if (kevent_drain_open(&source->drain, kev_fd, function, argument) == -1) return -errno;
  error = uv_poll_init(loop, &source->handle, kevent_drain_fd(&source->drain));
  if (error < 0) {
    kevent_drain_close(&source->drain);
    return error;
  }
  source->handle.data = source;
  /* It fails for a descriptor that another handle watches, which uv_poll_init has refused. */
  return uv_poll_start(&source->handle, UV_READABLE, &kevent_uv_readable);
}

/* Ends that.  May be called by the function. */
static inline void kevent_uv_close(struct kevent_uv *source, void (*closed)(struct kevent_uv *)) {
  source->closed = closed;
  uv_poll_stop(&source->handle);
  kevent_drain_close(&source->drain);
  uv_close((uv_handle_t *)&source->handle, &kevent_uv_closed);
}

#ifdef __cplusplus
}
#endif

#endif
