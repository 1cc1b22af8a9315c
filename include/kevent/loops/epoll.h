/* SPDX-License-Identifier: MIT */
/*
 * A queue in a loop of the program's own around epoll.  The loop calls kevent_drain_run() for an
 * event whose data.ptr is the drain.
 */
#ifndef KEVENT_LOOPS_EPOLL_H
#define KEVENT_LOOPS_EPOLL_H

#include <kevent/loops/drain.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a drain (kevent_drain_open) and adds it to epoll_fd, with data.ptr pointing to it.  0, or
 * -1 and errno. */
static inline int kevent_epoll_start(struct kevent_drain *drain, int epoll_fd, int kev_fd,
                                     kevent_batch_function *function, void *argument) {
  struct epoll_event interest;
  if (kevent_drain_open(drain, kev_fd, function, argument) == -1) return -1;
  memset(&interest, 0, sizeof interest);
  interest.events = EPOLLIN;
  interest.data.ptr = drain;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, kevent_drain_fd(drain), &interest) == 0) return 0;
  {
    const int error = errno;
    kevent_drain_close(drain);
    errno = error;
  }
  return -1;
}

/* Takes the drain out of epoll_fd, and closes it.  kevent_drain_close() alone leaves it inside as
 * long as a child of fork has a copy of its descriptor, and is for that child, whose copy of
 * epoll_fd is the parent's epoll.  May be called by the function, and twice. */
static inline void kevent_epoll_close(struct kevent_drain *drain, int epoll_fd) {
  if (drain->epoll_fd != -1) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, drain->epoll_fd, NULL);
  kevent_drain_close(drain);
}

#ifdef __cplusplus
}
#endif

#endif
