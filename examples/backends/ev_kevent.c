/* SPDX-License-Identifier: MIT */
/*
 * A backend for libev that runs on a queue of libkevent.
 *
 * ev.c includes this file, as it includes those of its other backends, and has the types of the
 * loop.  `apply libev DIRECTORY` puts it into a tree of libev's sources, and gives each loop the
 * members kevent_events and kevent_eventmax.
 */
#include <kevent/kevent.h>

/* nev is all that the loop wants of the descriptor from now on.  The descriptor may have been
 * closed since it was watched, and its number may be that of another file: the queue knows. */
static void kevent_modify(EV_P_ int fd, int oev, int nev) {
  struct ukevent request = {
      .id.raw = {(uint32_t)fd, 0},
      .type = KEVENT_POLL,
      .event =
          (nev & EV_READ ? KEVENT_POLL_POLLIN : 0u) | (nev & EV_WRITE ? KEVENT_POLL_POLLOUT : 0u),
      .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
  };
  unsigned int command = nev ? KEVENT_CTL_ADD | KEVENT_CTL_REPLACE : KEVENT_CTL_REMOVE;
  (void)oev;
  if (kevent_ctl(backend_fd, command | KEVENT_CTL_BY_ID, 1, &request) != 0 && nev) {
    fd_kill(EV_A_ fd);
  }
}

static void kevent_poll(EV_P_ ev_tstamp timeout) {
  struct timespec ts;
  int count;
  EV_TS_SET(ts, timeout);
  EV_RELEASE_CB;
  count = kevent_get_events(backend_fd, 1, (unsigned int)kevent_eventmax, &ts, kevent_events, 0);
  EV_ACQUIRE_CB;
  if (count == -1) {
    if (errno != EINTR) ev_syserr("(libev) kevent_get_events");
    return;
  }
  for (int i = 0; i < count; i++) {
    uint32_t is = kevent_events[i].ret_data[0];
    uint32_t end = is & (KEVENT_POLL_POLLERR | KEVENT_POLL_POLLHUP);
    /* Whoever waits for a descriptor finds its error or its end by the call that fails. */
    fd_event(EV_A_(int) kevent_events[i].id.raw[0],
             (end || is & KEVENT_POLL_POLLIN ? EV_READ : 0) |
                 (end || is & KEVENT_POLL_POLLOUT ? EV_WRITE : 0));
  }
  /* A full batch: the loop has more to do than the array has room for. */
  if (count == kevent_eventmax) {
    ev_free(kevent_events);
    kevent_eventmax = array_nextsize(sizeof(struct ukevent), kevent_eventmax, kevent_eventmax + 1);
    kevent_events = ev_malloc((long)sizeof(struct ukevent) * kevent_eventmax);
  }
}

static int kevent_backend_init(EV_P_ int flags) {
  (void)flags;
  backend_fd = kevent_init(NULL, 0, 0);
  if (backend_fd == -1) return 0;
  backend_mintime = EV_TS_CONST(1e-6);
  backend_modify = kevent_modify;
  backend_poll = kevent_poll;
  kevent_eventmax = 64;
  kevent_events = ev_malloc((long)sizeof(struct ukevent) * kevent_eventmax);
  return EVBACKEND_KEVENT;
}

/* The loop closes the queue itself. */
static void kevent_backend_destroy(EV_P) { ev_free(kevent_events); }

/* In the child the queue is empty and has its number. */
static void kevent_backend_fork(EV_P) { fd_rearm_all(EV_A); }
