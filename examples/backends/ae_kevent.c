/* SPDX-License-Identifier: MIT */
/*
 * A backend for ae, the event loop of Redis, that runs on a queue of libkevent.
 *
 * src/ae.c includes this file, as it includes that of another backend, and has the types of the
 * loop.  `apply redis DIRECTORY` puts it into a tree of Redis' sources.
 */
#include <kevent/kevent.h>

typedef struct aeApiState {
  int queue;
  struct ukevent *events; /* one for each descriptor that the loop may have */
} aeApiState;

static int aeApiCreate(aeEventLoop *eventLoop) {
  aeApiState *state = zmalloc(sizeof(*state));
  if (state == NULL) return -1;
  state->events = zmalloc(sizeof(*state->events) * (size_t)eventLoop->setsize);
  state->queue = state->events != NULL ? kevent_init(NULL, 0, 0) : -1;
  if (state->queue == -1) {
    zfree(state->events);
    zfree(state);
    return -1;
  }
  eventLoop->apidata = state;
  return 0;
}

static int aeApiResize(aeEventLoop *eventLoop, int setsize) {
  aeApiState *state = eventLoop->apidata;
  state->events = zrealloc(state->events, sizeof(*state->events) * (size_t)setsize);
  return 0;
}

static void aeApiFree(aeEventLoop *eventLoop) {
  aeApiState *state = eventLoop->apidata;
  close(state->queue);
  zfree(state->events);
  zfree(state);
}

/* The mask is all that the loop wants of the descriptor from now on. */
static int aeApiWatch(aeEventLoop *eventLoop, int fd, int mask) {
  aeApiState *state = eventLoop->apidata;
  struct ukevent request = {
      .id.raw = {(uint32_t)fd, 0},
      .type = KEVENT_POLL,
      .event = (mask & AE_READABLE ? KEVENT_POLL_POLLIN : 0u) |
               (mask & AE_WRITABLE ? KEVENT_POLL_POLLOUT : 0u),
      .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
  };
  unsigned int command =
      request.event != KEVENT_MASK_EMPTY ? KEVENT_CTL_ADD | KEVENT_CTL_REPLACE : KEVENT_CTL_REMOVE;
  int refused = kevent_ctl(state->queue, command | KEVENT_CTL_BY_ID, 1, &request);
  if (refused == 1) errno = -(int)request.ret_data[1];
  return refused == 0 ? 0 : -1;
}

static int aeApiAddEvent(aeEventLoop *eventLoop, int fd, int mask) {
  return aeApiWatch(eventLoop, fd, eventLoop->events[fd].mask | mask);
}

static void aeApiDelEvent(aeEventLoop *eventLoop, int fd, int mask) {
  aeApiWatch(eventLoop, fd, eventLoop->events[fd].mask & ~mask);
}

static int aeApiPoll(aeEventLoop *eventLoop, struct timeval *tvp) {
  aeApiState *state = eventLoop->apidata;
  struct timespec timeout = {0, 0};
  if (tvp != NULL) {
    timeout.tv_sec = tvp->tv_sec;
    timeout.tv_nsec = tvp->tv_usec * 1000;
  }
  int count = kevent_get_events(state->queue, 1, (unsigned int)eventLoop->setsize,
                                tvp != NULL ? &timeout : NULL, state->events, 0);
  if (count == -1) {
    if (errno != EINTR) panic("aeApiPoll: kevent_get_events, %s", strerror(errno));
    return 0;
  }
  for (int i = 0; i < count; i++) {
    uint32_t end = state->events[i].ret_data[0] & (KEVENT_POLL_POLLERR | KEVENT_POLL_POLLHUP);
    uint32_t is = state->events[i].ret_data[0];
    /* Whoever waits for a descriptor finds its error or its end by the call that fails. */
    eventLoop->fired[i].fd = (int)state->events[i].id.raw[0];
    eventLoop->fired[i].mask = (end || is & KEVENT_POLL_POLLIN ? AE_READABLE : 0) |
                               (end || is & KEVENT_POLL_POLLOUT ? AE_WRITABLE : 0);
  }
  return count;
}

static char *aeApiName(void) { return "kevent"; }
