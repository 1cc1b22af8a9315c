/* SPDX-License-Identifier: MIT */
/*
 * A queue inside another event loop: what the adapters of this directory have in common, and what
 * one for a further loop is made of.
 *
 * The loop watches kevent_drain_fd() for readability, by level, and calls kevent_drain_run() when
 * it is readable.  That descriptor is an epoll with the queue inside: loops set O_NONBLOCK on what
 * they watch (libuv, Asio), and on the queue itself it would keep the program's own calls from
 * sleeping.
 *
 * Not thread-safe: all functions for one kevent_drain are called by the loop's thread.  In a child
 * of fork the queue is a fresh one, and the epoll is the parent's: there it is closed, and opened
 * anew.
 */
#ifndef KEVENT_LOOPS_DRAIN_H
#define KEVENT_LOOPS_DRAIN_H

#include <errno.h>
#include <kevent/kevent.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called in the loop with each batch of events, which it may change.  It may close the drain, which
 * hands no further events over, and must not free the structure before it has returned. */
typedef void kevent_batch_function(struct ukevent *events, unsigned int num, void *argument);

/* The caller's; its members are the adapter's. */
struct kevent_drain {
  int kev_fd;
  int epoll_fd; /* -1: closed */
  kevent_batch_function *function;
  void *argument;
};

/* Opens a drain of the queue kev_fd, which stays the caller's and outlives it: 0, or -1 with the
 * errno of kevent_get_events(3), epoll_create1(2) or epoll_ctl(2). */
static inline int kevent_drain_open(struct kevent_drain *drain, int kev_fd,
                                    kevent_batch_function *function, void *argument) {
  struct epoll_event interest;
  memset(&interest, 0, sizeof interest);
  interest.events = EPOLLIN;
  drain->kev_fd = kev_fd;
  drain->function = function;
  drain->argument = argument;
  drain->epoll_fd = -1;
  /* Collects nothing: what is no queue is refused here, and not each time that it is readable. */
  if (kevent_get_events(kev_fd, 0, 0, NULL, NULL, 0) == -1) return -1;
  drain->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (drain->epoll_fd == -1) return -1;
  if (epoll_ctl(drain->epoll_fd, EPOLL_CTL_ADD, kev_fd, &interest) == 0) return 0;
  {
    const int error = errno;
    close(drain->epoll_fd);
    drain->epoll_fd = -1;
    errno = error;
  }
  return -1;
}

/* The descriptor that the loop watches. */
static inline int kevent_drain_fd(const struct kevent_drain *drain) { return drain->epoll_fd; }

/* Hands over what can be collected, in batches of 64, at most 16 of them: a loop is to come to its
 * other descriptors, and finds this one readable again.  Returns the number of events, which may be
 * 0, or -1 with the errno of kevent_get_events(3): the queue is no more, and the loop is to cease
 * to watch the drain, which would stay readable. */
static inline int kevent_drain_run(struct kevent_drain *drain) {
  enum { batch = 64, batches = 16 };
  struct ukevent events[batch];
  int total = 0;
  int turn;
  for (turn = 0; turn < batches && drain->epoll_fd != -1; ++turn) {
    const int num = kevent_get_events(drain->kev_fd, 0, batch, NULL, events, 0);
    if (num == -1) return -1;
    if (num != 0) drain->function(events, (unsigned int)num, drain->argument);
    total += num;
    if (num < batch) break;
  }
  return total;
}

/* Closes the drain; the queue stays.  Closing it twice does nothing. */
static inline void kevent_drain_close(struct kevent_drain *drain) {
  if (drain->epoll_fd != -1) close(drain->epoll_fd);
  drain->epoll_fd = -1;
}

#ifdef __cplusplus
}
#endif

#endif
