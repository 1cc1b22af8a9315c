/* SPDX-License-Identifier: MIT */
/*
 * <kevent/kevent.h>: POSIX timers that complete into a queue.
 *
 *     int kev_fd = kevent_init(NULL, 0, 0);
 *     struct sigevent sigev = {
 *         .sigev_notify = SIGEV_KEVENT,
 *         .sigev_kevent_fd = kev_fd,
 *         .sigev_value.sival_ptr = &my_cookie,
 *     };
 *     timer_create(CLOCK_MONOTONIC, &sigev, &timer);
 *     timer_settime(timer, 0, &its, NULL);
 *     n = kevent_get_events(kev_fd, 1, max, &timeout, events, 0);
 *
 * Types, constants and their values are those of the kevent patches posted to
 * linux-kernel in 2006 (takes 26 to 30).  Constants of event types whose
 * behaviour libkevent does not implement are declared too, so that the
 * numbers stay reserved; kevent(7) says what is implemented.
 *
 * Unless its comment says otherwise, a function may be called from any thread
 * at any time, is not async-signal-safe, sets errno when it fails and leaves
 * errno alone when it succeeds.
 */
#ifndef KEVENT_KEVENT_H_
#define KEVENT_KEVENT_H_

#include <signal.h>
#include <stdint.h>
#include <time.h>

#define KEVENT_VERSION_MAJOR 0
#define KEVENT_VERSION_MINOR 1
#define KEVENT_VERSION_PATCH 0
#define KEVENT_VERSION "0.1.0"

/*
 * Define KEVENT_WEAK before this header to make one binary that runs with or
 * without the library: the functions become weak references, and
 * kevent_available() says whether they are there to be called.
 */
#ifdef KEVENT_WEAK
#define KEVENT_FUNCTION __attribute__((__weak__))
#else
#define KEVENT_FUNCTION
#endif

/* ---- struct sigevent --------------------------------------------------- */

/* sigev_notify: completions go to the queue named by sigev_kevent_fd.  Exactly
 * this value; combined with any other bit it is not ours (design decision). */
#define SIGEV_KEVENT 8

/* The queue descriptor, an int at offset 16 of struct sigevent, where the
 * patches of 2006 had their kevent_fd.  Usable as a member and, in C, as a
 * designator. */
#if !defined(sigev_kevent_fd)
#if defined(__GLIBC__)
#define sigev_kevent_fd _sigev_un._tid
#else
#error "libkevent knows the struct sigevent of the GNU C library only"
#endif
#endif

/* ---- Events ------------------------------------------------------------ */

/* Event types: ukevent.type. */
#define KEVENT_SOCKET 0
#define KEVENT_INODE 1
#define KEVENT_TIMER 2
#define KEVENT_POLL 3
#define KEVENT_NAIO 4
#define KEVENT_AIO 5
#define KEVENT_PIPE 6
#define KEVENT_SIGNAL 7
#define KEVENT_POSIX_TIMER 8
#define KEVENT_UNOTIFY 9
#define KEVENT_MAX 10

/* ukevent.event, by type. */
#define KEVENT_TIMER_FIRED 0x1

#define KEVENT_SOCKET_RECV 0x1
#define KEVENT_SOCKET_ACCEPT 0x2
#define KEVENT_SOCKET_SEND 0x4

#define KEVENT_INODE_CREATE 0x1
#define KEVENT_INODE_REMOVE 0x2

#define KEVENT_POLL_POLLIN 0x0001
#define KEVENT_POLL_POLLPRI 0x0002
#define KEVENT_POLL_POLLOUT 0x0004
#define KEVENT_POLL_POLLERR 0x0008
#define KEVENT_POLL_POLLHUP 0x0010
#define KEVENT_POLL_POLLNVAL 0x0020
#define KEVENT_POLL_POLLRDNORM 0x0040
#define KEVENT_POLL_POLLRDBAND 0x0080
#define KEVENT_POLL_POLLWRNORM 0x0100
#define KEVENT_POLL_POLLWRBAND 0x0200
#define KEVENT_POLL_POLLMSG 0x0400
#define KEVENT_POLL_POLLREMOVE 0x1000
#define KEVENT_POLL_POLLRDHUP 0x2000

#define KEVENT_AIO_BIO 0x1

#define KEVENT_SIGNAL_DELIVERY 0x1
#define KEVENT_SIGNAL_NOMASK 0x8000000000000000ULL /* in kevent_id.raw_u64 */

#define KEVENT_MASK_ALL 0xffffffff
#define KEVENT_MASK_EMPTY 0x0

/* ukevent.req_flags. */
#define KEVENT_REQ_ONESHOT 0x1
#define KEVENT_REQ_WAKEUP_ALL 0x2
#define KEVENT_REQ_ET 0x4
#define KEVENT_REQ_LAST_CHECK 0x8
#define KEVENT_REQ_ALWAYS_QUEUE 0x10
#define KEVENT_REQ_READY 0x20

/* ukevent.ret_flags. */
#define KEVENT_RET_BROKEN 0x1
#define KEVENT_RET_DONE 0x2
#define KEVENT_RET_COPY_FAILED 0x4

/* Commands of kevent_ctl. */
#define KEVENT_CTL_ADD 0
#define KEVENT_CTL_REMOVE 1
#define KEVENT_CTL_MODIFY 2
#define KEVENT_CTL_READY 3

/* Flags of kevent_get_events and kevent_pget_events. */
#define KEVENT_FLAGS_ABSTIME 0x1   /* timeout is absolute, CLOCK_REALTIME */
#define KEVENT_FLAGS_MONOTONIC 0x2 /* with ABSTIME: CLOCK_MONOTONIC instead */

#ifdef __cplusplus
extern "C" {
#endif

struct kevent_id {
  __extension__ union {
    uint32_t raw[2];
    uint64_t raw_u64 __attribute__((__aligned__(8)));
  };
};

/*
 * One completion; 40 bytes, laid out as in 2006.  For a POSIX timer:
 *
 *   id.raw_u64   the timer_t
 *   type, event  KEVENT_POSIX_TIMER, KEVENT_TIMER_FIRED
 *   req_flags    0
 *   ret_flags    KEVENT_RET_DONE
 *   ret_data[0]  overruns, as timer_getoverrun(2) says: 0 when the timer
 *                expired once; saturates at DELAYTIMER_MAX
 *   ret_data[1]  lateness: nanoseconds from the last reported expiration to
 *                its collection; saturates at UINT32_MAX
 *   ptr          sigev_value.sival_ptr of timer_create, never interpreted
 */
struct ukevent {
  struct kevent_id id;
  uint32_t type;
  uint32_t event;
  uint32_t req_flags;
  uint32_t ret_flags;
  uint32_t ret_data[2];
  __extension__ union {
    uint32_t user[2];
    void *ptr;
  };
};

/* The ring of 2006: `num` events follow the two indexes.  Declared for its
 * layout; kevent_init does not take a ring yet. */
struct kevent_ring {
  unsigned int ring_kidx;
  unsigned int ring_over;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C++ has no flexible array */
  struct ukevent event[];
#pragma GCC diagnostic pop
};

/* ---- Functions --------------------------------------------------------- */

/*
 * Makes a queue and returns its descriptor: the lowest free number,
 * close-on-exec, to be closed with close(2).  It can be polled (poll, select,
 * epoll, io_uring): readable whenever something can be collected.
 *
 * ring must be NULL, and num and flags 0.
 *
 * EINVAL  flags is not 0, or one of ring and num is zero and the other is not.
 * ENOSYS  ring and num ask for a ring.
 * EMFILE, ENFILE, ENOMEM  as epoll_create1(2), timerfd_create(2) and mmap(2)
 *         have them, EMFILE also beyond 16384 queues; nothing is left behind.
 */
int kevent_init(struct kevent_ring *ring, unsigned int num, unsigned int flags) KEVENT_FUNCTION;

/*
 * Collects completions of the queue kev_fd into events[0 .. max_nr-1] and
 * returns their number.
 *
 * Sleeps until min_nr completions are ready, the timeout has passed or a
 * signal handler has run, then takes what is ready, max_nr at most.  With
 * min_nr 0, with a timeout of {0, 0}, or with O_NONBLOCK set on the queue it
 * never sleeps.  With max_nr 0 it returns 0 at once.
 *
 * timeout: NULL for ever; relative on CLOCK_MONOTONIC; with
 * KEVENT_FLAGS_ABSTIME a moment on CLOCK_REALTIME (follows a step of that
 * clock), with KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC a moment on
 * CLOCK_MONOTONIC.
 *
 * A cancellation point while it sleeps; a cancelled thread takes no
 * completion with it.  Each completion goes to exactly one caller.
 *
 * EBADF   kev_fd is not open, or was closed while the caller slept.
 * EINVAL  kev_fd is no queue; unknown flags, or KEVENT_FLAGS_MONOTONIC
 *         alone; min_nr > max_nr; timeout out of range.
 * EFAULT  events is NULL and max_nr is not 0.
 * EINTR   a signal handler ran while it slept, and nothing was ready.
 * EMFILE, ENFILE, ENOMEM  with sigmask or a timeout on CLOCK_REALTIME, which
 *         take a descriptor to sleep on: as timerfd_create(2); nothing taken.
 */
int kevent_get_events(int kev_fd, unsigned int min_nr, unsigned int max_nr,
                      const struct timespec *timeout, struct ukevent *events,
                      unsigned int flags) KEVENT_FUNCTION;

/* The same; while it sleeps the signal mask of the thread is *sigmask, as in
 * ppoll(2).  NULL leaves the mask alone. */
int kevent_pget_events(int kev_fd, unsigned int min_nr, unsigned int max_nr,
                       const struct timespec *timeout, struct ukevent *events, unsigned int flags,
                       const sigset_t *sigmask) KEVENT_FUNCTION;

/* The version of the library that runs, "MAJOR.MINOR.PATCH": a static string.
 * KEVENT_VERSION is that of the header.  Async-signal-safe. */
const char *kevent_version(void) KEVENT_FUNCTION;

/* Whether the library is in the process: always so when linked; with
 * KEVENT_WEAK, so when it is preloaded or linked.  Async-signal-safe. */
static inline int kevent_available(void) {
#ifdef KEVENT_WEAK
  return &kevent_init != 0;
#else
  return 1;
#endif
}

/* Fills *sev for a timer that completes into the queue kev_fd with this
 * cookie: what the designated initialiser says in C, for languages that can't
 * say it.  Async-signal-safe. */
static inline void kevent_sigevent(struct sigevent *sev, int kev_fd, void *cookie) {
  __builtin_memset(sev, 0, sizeof *sev);
  sev->sigev_notify = SIGEV_KEVENT;
  sev->sigev_kevent_fd = kev_fd;
  sev->sigev_value.sival_ptr = cookie;
}

#ifdef __cplusplus
}
#endif

#undef KEVENT_FUNCTION

#endif /* KEVENT_KEVENT_H_ */
