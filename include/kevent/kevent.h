/* SPDX-License-Identifier: MIT */
/*
 * <kevent/kevent.h>: POSIX timers, and much else, that complete into a queue.
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
 * mq_notify, aio_read, aio_write, aio_fsync, lio_listio and getaddrinfo_a take
 * SIGEV_KEVENT as well: sigev_kevent(7).
 *
 * The same queue takes descriptors, signals, changes of directories, the ends
 * of processes and events of the program's own: kevent_ctl.
 *
 * Types, constants and their values are those of the kevent patches posted to
 * linux-kernel in 2006 (takes 26 to 30); what libkevent adds has values that
 * they did not use, types from 32 upward.  KEVENT_AIO is what aio_read(3) and its
 * kin report, KEVENT_NAIO what aio_recv and its kin do.
 *
 * Unless its comment says otherwise, a function may be called from any thread
 * at any time, is not async-signal-safe, sets errno when it fails and leaves
 * errno alone when it succeeds.
 */
#ifndef KEVENT_KEVENT_H_
#define KEVENT_KEVENT_H_

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* A strict C standard (-std=c11) hides timer_t and struct sigevent unless POSIX is asked for. */
#if defined(__GLIBC__) && !defined(__USE_POSIX199309)
#error "kevent.h needs POSIX: define _POSIX_C_SOURCE 200809L or _GNU_SOURCE, or use -std=gnu11"
#else

#if defined(__USE_FILE_OFFSET64) && !defined(KEVENT_NO_BINDING) && !defined(KEVENT_WEAK)
#include <aio.h> /* for the names below */
#endif

#define KEVENT_VERSION_MAJOR 0
#define KEVENT_VERSION_MINOR 2
#define KEVENT_VERSION_PATCH 0
#define KEVENT_VERSION "0.2.0"

/*
 * Define KEVENT_WEAK before this header to make one binary that runs with or
 * without the library: the functions become weak references, and
 * kevent_available() says whether they are there to be called.
 *
 * Define KEVENT_NO_BINDING before this header to leave timer_create and its kin
 * to the C library and to interposition: "Names of the library's own", below.
 */
#ifdef KEVENT_WEAK
#define KEVENT_FUNCTION __attribute__((__weak__))
#else
#define KEVENT_FUNCTION
#endif

/* ---- struct sigevent --------------------------------------------------- */

/* sigev_notify: completions go to the queue named by sigev_kevent_fd.  Exactly
 * this value; combined with any other bit it is not ours. */
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
#define KEVENT_MAX 10 /* of the types of 2006 */
#define KEVENT_PROCESS 32
#define KEVENT_KEVENT 33
#define KEVENT_MQ 34
#define KEVENT_LIO 35
#define KEVENT_GAI 36

/* ukevent.event, by type. */
#define KEVENT_TIMER_FIRED 0x1
#define KEVENT_TIMER_SPEC 0x100 /* ret_data holds the address of a kevent_timer_spec */

#define KEVENT_SOCKET_RECV 0x1
#define KEVENT_SOCKET_ACCEPT 0x2
#define KEVENT_SOCKET_SEND 0x4

#define KEVENT_INODE_CREATE 0x1
#define KEVENT_INODE_REMOVE 0x2
#define KEVENT_INODE_MODIFY 0x100
#define KEVENT_INODE_ATTRIB 0x200
#define KEVENT_INODE_SELF 0x400 /* the file itself was removed or renamed */

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

/* KEVENT_NAIO: the operation of a transfer (ukevent.event). */
#define KEVENT_NAIO_RECV 0x1
#define KEVENT_NAIO_SEND 0x2
#define KEVENT_NAIO_SENDFILE 0x4
#define KEVENT_NAIO_SENDFILE_PATH 0x8
/* A flag of a receipt: it ends with the first bytes that come.  No flag of recv(2). */
#define KEVENT_NAIO_SOME 0x80000000u

#define KEVENT_AIO_BIO 0x1 /* a POSIX aio operation has completed */

/* In lio_listio's mode and aio_fsync's operation: libkevent does what is asked for, whichever
 * notification it has. */
#define KEVENT_AIO_ENGINE 0x40000000

#define KEVENT_SIGNAL_DELIVERY 0x1
#define KEVENT_SIGNAL_NOMASK 0x8000000000000000ULL /* in kevent_id.raw_u64 */

#define KEVENT_UNOTIFY_EVENT 0x1

#define KEVENT_PROCESS_EXIT 0x1

#define KEVENT_KEVENT_READY 0x1

#define KEVENT_MQ_NOTIFY 0x1

#define KEVENT_LIO_DONE 0x1

#define KEVENT_GAI_DONE 0x1

#define KEVENT_MASK_ALL 0xffffffff
#define KEVENT_MASK_EMPTY 0x0

/* ukevent.req_flags. */
#define KEVENT_REQ_ONESHOT 0x1
#define KEVENT_REQ_WAKEUP_ALL 0x2
#define KEVENT_REQ_ET 0x4
#define KEVENT_REQ_LAST_CHECK 0x8
#define KEVENT_REQ_ALWAYS_QUEUE 0x10
#define KEVENT_REQ_READY 0x20
#define KEVENT_REQ_DISPATCH 0x40 /* pauses when it was reported; MODIFY goes on */

/* ukevent.ret_flags. */
#define KEVENT_RET_BROKEN 0x1
#define KEVENT_RET_DONE 0x2
#define KEVENT_RET_COPY_FAILED 0x4
#define KEVENT_RET_NO_STATUS 0x100 /* KEVENT_PROCESS: no child of ours, or reaped before */
#define KEVENT_RET_READY 0x200     /* KEVENT_CTL_ADD: ready already, and not registered */

/* Commands of kevent_ctl. */
#define KEVENT_CTL_ADD 0
#define KEVENT_CTL_REMOVE 1
#define KEVENT_CTL_MODIFY 2
#define KEVENT_CTL_READY 3
/* or-ed to a command: */
#define KEVENT_CTL_REPLACE 0x100   /* ADD modifies a kevent that is registered */
#define KEVENT_CTL_BY_ID 0x200     /* type and id name the kevent, and ptr is its new cookie */

/* Flags of kevent_get_events, kevent_pget_events and kevent_wait. */
#define KEVENT_FLAGS_ABSTIME 0x1   /* timeout is absolute, CLOCK_REALTIME */
#define KEVENT_FLAGS_MONOTONIC 0x2 /* with ABSTIME: CLOCK_MONOTONIC instead */

#ifdef __cplusplus
extern "C" {
#endif

/* To C before C11 a structure whose only member has no name is an extension itself. */
__extension__ struct kevent_id {
  __extension__ union {
    uint32_t raw[2];
    uint64_t raw_u64 __attribute__((__aligned__(8)));
  };
};

/*
 * One completion, or one request to kevent_ctl; 40 bytes, laid out as in 2006.
 * What the fields mean for each type is in the manual, kevent_socket(7) to
 * kevent_kevent(7).  For a POSIX timer:
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

/* What a KEVENT_TIMER with KEVENT_TIMER_SPEC is set to.  Read by kevent_ctl
 * during ADD and MODIFY only. */
struct kevent_timer_spec {
  clockid_t clockid;            /* as for timer_create(2) */
  int flags;                    /* 0 or TIMER_ABSTIME */
  struct itimerspec itimerspec; /* it_value zero: disarmed */
};

/* The ring of kevent_init: `num` events follow the two words.  It is the
 * caller's memory, and is written by kevent_wait and kevent_commit only.
 * ring_kidx is the slot that is written next; ring_over counts how often
 * kevent_commit has passed the end of the ring. */
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
 * ring is NULL and num 0, or ring has room for num events, two at least, which
 * kevent_wait fills; it must stay mapped until the queue is closed and the calls
 * that use it have returned.  flags is 0.  In a child of fork the queue has no ring.
 *
 * EINVAL  flags is not 0; one of ring and num is zero and the other is not;
 *         num is 1; or ring is not aligned.
 * EFAULT  the ring, at its beginning or its end, cannot be written to.
 * EMFILE, ENFILE, ENOMEM  as epoll_create1(2), timerfd_create(2) and mmap(2)
 *         have them, EMFILE also beyond 16383 queues; nothing is left behind.
 * ENOSYS  a kernel before Linux 4.14.
 * EPERM   or another error of a sandbox that forbids what a queue needs.
 */
int kevent_init(struct kevent_ring *ring, unsigned int num, unsigned int flags) KEVENT_FUNCTION;

/*
 * Collects completions of the queue kev_fd into events[0 .. max_nr-1] and
 * returns their number.
 *
 * Sleeps until min_nr completions are ready, the timeout has passed or a
 * signal handler has run, or KEVENT_CTL_READY with num 0 has it return, then
 * takes what is ready, max_nr at most.  With min_nr 0, with a timeout of {0, 0},
 * or with O_NONBLOCK set on the queue it never sleeps.  With max_nr 0 it returns
 * 0 at once.
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
 *         ENOMEM also when the kernel had none to let it sleep for more.
 */
int kevent_get_events(int kev_fd, unsigned int min_nr, unsigned int max_nr,
                      const struct timespec *timeout, struct ukevent *events,
                      unsigned int flags) KEVENT_FUNCTION;

/*
 * Registers kevents with the queue kev_fd, changes them or makes them ready:
 * arg[0 .. num-1].  A kevent is told from others of its queue by type, id and
 * cookie (ptr).
 *
 * Each entry has its result in its place: KEVENT_RET_DONE in ret_flags, and
 * KEVENT_RET_BROKEN as well, with a negative errno value in ret_data[1], where
 * the command was not carried out.
 *
 * KEVENT_CTL_ADD     registers each.  An entry that is ready already is not
 *     registered unless KEVENT_REQ_ALWAYS_QUEUE or KEVENT_REQ_READY asks for it:
 *     it has KEVENT_RET_READY in ret_flags, and what would have been reported.
 *     With KEVENT_CTL_REPLACE a kevent that is registered is modified.
 * KEVENT_CTL_REMOVE  removes each, and an event of it that was not collected.
 * KEVENT_CTL_MODIFY  replaces event and req_flags of each.  Event 0 pauses it;
 *     another one has it go on, without losing what has come meanwhile.
 * KEVENT_CTL_READY   with num 0 makes one call that sleeps on the queue return,
 *     or the next that collects, even with 0 events.  Otherwise makes each
 *     ready although nothing has happened.
 * KEVENT_CTL_BY_ID, or-ed to a command: type and id name the kevent, and ADD and
 *     MODIFY give it the cookie.
 *
 * READY returns how many kevents it found; the other commands return for how
 * many entries they were not carried out, ready ones of ADD among them.
 *
 * KEVENT_CTL_READY is async-signal-safe; the other commands are not.
 *
 * EBADF   kev_fd is not open.
 * EINVAL  kev_fd is no queue; unknown command; more than 16777216 entries.
 * EFAULT  arg is NULL and num is not 0, or arg cannot be written to; nothing
 *         was done.
 * EMFILE, ENFILE, ENOMEM  the first kevent of a queue takes a descriptor and
 *         memory; nothing was done.
 */
int kevent_ctl(int kev_fd, unsigned int cmd, unsigned int num, struct ukevent *arg) KEVENT_FUNCTION;

/* The same as kevent_get_events; while it sleeps the signal mask of the thread is *sigmask, as in
 * ppoll(2).  NULL leaves the mask alone. */
int kevent_pget_events(int kev_fd, unsigned int min_nr, unsigned int max_nr,
                       const struct timespec *timeout, struct ukevent *events, unsigned int flags,
                       const sigset_t *sigmask) KEVENT_FUNCTION;

/*
 * Moves up to num events into the ring of the queue kev_fd and returns their
 * number.  Sleeps as kevent_get_events with min_nr 1 does, and while the ring
 * is full; not when old_uidx is not the index up to which kevent_commit has freed
 * the ring: another thread has consumed since the caller looked.  timeout and
 * flags are those of kevent_get_events.  A cancellation point while it sleeps.
 *
 * The events lie in ring->event[] before ring_kidx, in the order of their
 * collection; a thread may read them without a call.
 *
 * EINVAL  the queue has no ring; num is larger than the ring or 0; unknown
 *         flags; timeout out of range.
 * EBADF, EINTR  as kevent_get_events.
 * EMFILE, ENFILE, ENOMEM  with a timeout on CLOCK_REALTIME, which takes a
 *         descriptor to sleep on; ENOMEM also for room in a full ring.
 */
int kevent_wait(int kev_fd, unsigned int num, unsigned int old_uidx, const struct timespec *timeout,
                unsigned int flags) KEVENT_FUNCTION;

/*
 * Frees the slots of the ring before new_uidx, oldest first, and returns their
 * number.  over is the ring_over that the caller read with the events.
 * With a full ring new_uidx may be the index of the first event: all are freed.
 * 0 when another thread has freed them in the same turn of the ring, or when the queue
 * has no ring.
 *
 * EBADF      kev_fd is not open.
 * EINVAL     kev_fd is no queue; new_uidx is no index of the ring, or lies
 *            beyond the events that are in it.
 * EOVERFLOW  over is neither ring_over nor ring_over - 1, or it is that and the
 *            slots are those of another turn.
 */
int kevent_commit(int kev_fd, unsigned int new_uidx, unsigned int over) KEVENT_FUNCTION;

/* One timer of a call of kevent_settime. */
struct kevent_setting {
  timer_t timer; /* any timer: libkevent's, or one of the C library's */
  int flags;     /* 0 or TIMER_ABSTIME */
  int error;     /* out: 0, or the errno that timer_settime would have set */
  struct itimerspec value;
};

/*
 * Sets num timers as timer_settime would, in the order of the array, and returns
 * how many were set; error says of each why it was not.  settings remains the
 * caller's.
 *
 * Each clock is read once: relative values count from within the call, so that no
 * timer expires early.  Each queue is told once and at the end: of a timer that
 * expires during the call it may become readable only then.
 *
 * Thread-safe and async-signal-safe, as timer_settime (POSIX.1-2024, 2.4.3).  When a
 * handler leaves it by siglongjmp, timers that were set by then may not be reported
 * until they are set again.
 *
 * EFAULT  settings is NULL and num is not 0.
 * EINVAL  num is larger than INT_MAX.
 */
int kevent_settime(unsigned int num, struct kevent_setting *settings) __THROW KEVENT_FUNCTION;

/*
 * Writes to the descriptor fd, as text for people, what state the queue is in; 0.
 * For a debugger, too: call kevent_dump(kev_fd, 2).  The text may change with each
 * version.  Thread-safe and async-signal-safe; waits for no lock, and says so where
 * one is held.
 *
 * EBADF, EINVAL  as kevent_get_events; and what write says of fd.
 */
int kevent_dump(int kev_fd, int fd) KEVENT_FUNCTION;

/*
 * 1 if libkevent has operations of asynchronous I/O in flight that were asked for by the
 * descriptor number fd, else 0, also when fd is not open.  Those of the C library, and those of a
 * call that has not returned, do not count; nor does one that has ended and is being notified of.
 *
 * Thread-safe and async-signal-safe, as close.
 */
int kevent_aio_pending(int fd) __THROW KEVENT_FUNCTION;

struct aiocb;
struct aiocb64;
struct gaicb;

/*
 * Begins the operations of the list as lio_listio does, whatever their notifications, which are
 * those of an array beside the control blocks: notifications[i] is in place of
 * list[i]->aio_sigevent, which is neither read nor written.  With NULL each block has its own.
 *
 * A control block is the caller's from the moment on at which aio_error says that its operation has
 * ended, also if the call that began it has not returned.  Who has to know what becomes of a
 * notification after the call, and may not look into the block, finds it in the array: where the
 * operation could not begin, and in *sevp where the list could not, sigev_notify is SIGEV_NONE when
 * the call returns.  All others are left as they are, and are made: that of a list, too, each of
 * whose operations was refused, as with lio_listio.
 *
 * The arrays and *sevp remain the caller's.  sevp may be NULL, and is ignored with LIO_WAIT.
 *
 * Thread-safe; not async-signal-safe.  With LIO_WAIT a cancellation point.
 *
 * The errors are those of lio_listio with SIGEV_KEVENT: EAGAIN, EBADF, EINTR, EINVAL, EIO.
 */
int kevent_aio_start(int mode, struct aiocb *const list[], int num, struct sigevent *notifications,
                     struct sigevent *sevp) KEVENT_FUNCTION;

/*
 * As aio_fsync, with the notification that is given in place of control->aio_sigevent.  It is made
 * if the result is 0, and only then.  The same safety.
 *
 * EAGAIN  as aio_fsync.
 * EBADF   aio_fildes is not open, or as kevent_aio_start.
 * EINVAL  operation is neither O_SYNC nor O_DSYNC.
 */
int kevent_aio_start_fsync(int operation, struct aiocb *control,
                           const struct sigevent *notification) __THROW KEVENT_FUNCTION;

/* ---- Transfers on sockets ------------------------------------------------ */

/* One transfer, for kevent_transfers. */
struct kevent_transfer {
  unsigned int operation; /* KEVENT_NAIO_RECV ... KEVENT_NAIO_SENDFILE_PATH */
  int socket;
  unsigned int flags; /* of recv(2) or send(2), and KEVENT_NAIO_SOME; 0 for files */
  int error;          /* out: 0, or the errno for which it was not begun */
  void *buffer;       /* KEVENT_NAIO_RECV, KEVENT_NAIO_SEND */
  const char *path;   /* KEVENT_NAIO_SENDFILE_PATH */
  size_t size;        /* bytes; more than 0x7ffff000 count as that many */
  off_t offset;       /* into the file, in bytes */
  int file;           /* KEVENT_NAIO_SENDFILE: a regular file or block device, for reading */
  void *cookie;       /* ukevent.ptr of its event */
};

/*
 * Begins num transfers on sockets; returns how many.  Each completes once, by an event of the
 * queue kev_fd of the type KEVENT_NAIO: id.raw[0] is the socket, id.raw[1] the size, event the
 * operation, ret_data[0] the number of bytes that were transferred, ret_data[1] 0 or an errno, ptr
 * the cookie.  A transfer on a stream ends when all bytes were transferred, the other side has
 * ended (no error), or an error has come; with KEVENT_NAIO_SOME a receipt ends with the first
 * bytes that come.  On other sockets it is one message.
 *
 * A transfer is tried at once; what would wait goes on, in order for each socket and direction,
 * while threads collect events of the queue (kevent_get_events, kevent_wait), whatever the
 * socket's O_NONBLOCK.  There is no SIGPIPE.  The buffer is the library's until the event is
 * collected, or the queue is closed and no thread collects from it any more.  A file may be closed
 * when the call returns; its pages are read ahead by libkevent's asynchronous I/O, so that no
 * collector waits for a device.
 *
 * close of the socket, or dup2 onto it, ends its transfers with ECANCELED; close of the queue ends
 * them without an event; a child of fork has none.
 *
 * EBADF, EINVAL  kev_fd as kevent_get_events; EINVAL, EFAULT  num, transfers
 * In transfers[i].error:
 * EAGAIN  65 536 operations are in flight (a file's transfer counts as two), or memory is lacking
 * EBADF, ENOTSOCK, EINVAL  the socket, the file, the operation, a flag or the offset
 * EISDIR, ENOENT, ...      open(2) of the path
 *
 * Thread-safe; not async-signal-safe.
 */
int kevent_transfers(int kev_fd, unsigned int num,
                     struct kevent_transfer *transfers) __THROW KEVENT_FUNCTION;

/* The calls of 2006: one transfer each; 0, or -1 and errno as above.  ptr is buf, the path, or
 * NULL. */
int kevent_aio_recv(int kev_fd, int sock_fd, void *buf, size_t size,
                    unsigned int flags) __THROW KEVENT_FUNCTION;
int kevent_aio_send(int kev_fd, int sock_fd, const void *buf, size_t size,
                    unsigned int flags) __THROW KEVENT_FUNCTION;
long kevent_aio_sendfile(int kev_fd, int sock_fd, int in_fd, off_t offset,
                         size_t count) __THROW KEVENT_FUNCTION;
long kevent_aio_sendfile_path(int kev_fd, int sock_fd, const char *path, off_t offset,
                              size_t count) __THROW KEVENT_FUNCTION;

/*
 * Cancels the transfers of a socket into this queue, or those with the cookie *cookie if cookie is
 * not NULL: each completes with ECANCELED, and the bytes that it has transferred.  AIO_CANCELED;
 * AIO_ALLDONE if there was none; AIO_NOTCANCELED if the file of one is just being read: it
 * completes with ECANCELED after that.  Thread-safe; not async-signal-safe.
 */
int kevent_cancel_transfers(int kev_fd, int sock_fd, void *const *cookie) __THROW KEVENT_FUNCTION;

/* The version of the library that runs, "MAJOR.MINOR.PATCH": a static string.
 * KEVENT_VERSION is that of the header.  Async-signal-safe. */
const char *kevent_version(void) KEVENT_FUNCTION;

/* ---- Names of the library's own ---------------------------------------- */

/*
 * Each of these is the function whose name stands after "kevent_".  With
 * SIGEV_KEVENT, a timer of libkevent or the descriptor of a queue it does what
 * the manual says, with anything else what the C library does.
 *
 * libkevent exports the POSIX name as well, in front of the C library's.  But
 * when a shared object brings libkevent into a program that is neither linked
 * nor preloaded with it, the loader finds the C library's function first.
 *
 * Those with 64 at the end take a struct aiocb64.  mqd_t is an int.
 */

int kevent_timer_create(clockid_t clock, struct sigevent *notification,
                        timer_t *timer) __THROW KEVENT_FUNCTION;
int kevent_timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                         struct itimerspec *old_value) __THROW KEVENT_FUNCTION;
int kevent_timer_gettime(timer_t timer, struct itimerspec *value) __THROW KEVENT_FUNCTION;
int kevent_timer_getoverrun(timer_t timer) __THROW KEVENT_FUNCTION;
int kevent_timer_delete(timer_t timer) __THROW KEVENT_FUNCTION;

int kevent_mq_notify(int message_queue,
                     const struct sigevent *notification) __THROW KEVENT_FUNCTION;
int kevent_aio_read(struct aiocb *control) __THROW KEVENT_FUNCTION;
int kevent_aio_write(struct aiocb *control) __THROW KEVENT_FUNCTION;
int kevent_aio_fsync(int operation, struct aiocb *control) __THROW KEVENT_FUNCTION;
int kevent_aio_cancel(int fd, struct aiocb *control) __THROW KEVENT_FUNCTION;
int kevent_aio_suspend(const struct aiocb *const list[], int count,
                       const struct timespec *timeout) KEVENT_FUNCTION;
int kevent_lio_listio(int mode, struct aiocb *const list[], int count,
                      struct sigevent *notification) __THROW KEVENT_FUNCTION;
int kevent_aio_read64(struct aiocb64 *control) __THROW KEVENT_FUNCTION;
int kevent_aio_write64(struct aiocb64 *control) __THROW KEVENT_FUNCTION;
int kevent_aio_fsync64(int operation, struct aiocb64 *control) __THROW KEVENT_FUNCTION;
int kevent_aio_cancel64(int fd, struct aiocb64 *control) __THROW KEVENT_FUNCTION;
int kevent_aio_suspend64(const struct aiocb64 *const list[], int count,
                         const struct timespec *timeout) KEVENT_FUNCTION;
int kevent_lio_listio64(int mode, struct aiocb64 *const list[], int count,
                        struct sigevent *notification) __THROW KEVENT_FUNCTION;
int kevent_getaddrinfo_a(int mode, struct gaicb *list[], int count,
                         struct sigevent *notification) KEVENT_FUNCTION;

int kevent_close(int fd) KEVENT_FUNCTION;
int kevent_dup(int fd) __THROW KEVENT_FUNCTION;
int kevent_dup2(int fd, int target) __THROW KEVENT_FUNCTION;
int kevent_dup3(int fd, int target, int flags) __THROW KEVENT_FUNCTION;
int kevent_fcntl(int fd, int command, ...) KEVENT_FUNCTION;
int kevent_close_range(unsigned int first, unsigned int last, int flags) __THROW KEVENT_FUNCTION;
void kevent_closefrom(int lowest) __THROW KEVENT_FUNCTION;
int kevent_unshare(int flags) __THROW KEVENT_FUNCTION;

/*
 * In whatever includes this header the POSIX names of timers, and of the other
 * calls that take a struct sigevent, stand for the functions above: their
 * declarations are repeated with another assembler name.  It makes no difference
 * whether the standard headers are included before or after.  clang refuses such
 * a declaration after the first use of the name: include this header before
 * whatever uses it.  close, dup and their kin remain the C library's.
 *
 * With _FILE_OFFSET_BITS=64 <aio.h> has other assembler names for its functions
 * already, so there these names are macros.
 *
 * With KEVENT_WEAK the names of timers stand for libkevent's functions if they
 * are there, and for the C library's if not; the others are left alone.
 */
#ifndef KEVENT_NO_BINDING
#ifndef __GNUC__
#error "no way to bind timer_create here: define KEVENT_NO_BINDING, and call kevent_timer_create"
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"

/* The order that each language wants.  Cancellation points may throw, and say so in a
 * word: an empty argument of a macro is an extension to C90. */
#ifdef __cplusplus
#define KEVENT_NAMED(name, throws) throws __asm__(name)
#define KEVENT_DEFINED __THROW
#if __cplusplus >= 201103L
#define KEVENT_THROWS noexcept(false)
#else
#define KEVENT_THROWS
#endif
#else
#define KEVENT_NAMED(name, throws) __asm__(name) throws
#define KEVENT_DEFINED
#define KEVENT_THROWS __attribute__(())
#endif

#ifdef KEVENT_WEAK
/* The function that decides belongs to whatever includes this header. */
#define KEVENT_BIND_TIMER(name, parameters, arguments)                                   \
  int kevent_libc_##name parameters KEVENT_NAMED(#name, __THROW);                        \
  int kevent_or_libc_##name parameters __THROW                                           \
      __attribute__((__weak__, __visibility__("hidden")));                               \
  int kevent_or_libc_##name parameters KEVENT_DEFINED {                                  \
    return &kevent_##name != 0 ? kevent_##name arguments : kevent_libc_##name arguments; \
  }                                                                                      \
  int name parameters KEVENT_NAMED("kevent_or_libc_" #name, __THROW);
#else
#define KEVENT_BIND(name, parameters, throws) \
  int name parameters KEVENT_NAMED("kevent_" #name, throws);
#define KEVENT_BIND_LONG(name, parameters) \
  long name parameters KEVENT_NAMED("kevent_" #name, __THROW);
#define KEVENT_BIND_TIMER(name, parameters, arguments) KEVENT_BIND(name, parameters, __THROW)
#endif

KEVENT_BIND_TIMER(timer_create, (clockid_t clock, struct sigevent *notification, timer_t *timer),
                  (clock, notification, timer))
KEVENT_BIND_TIMER(timer_settime,
                  (timer_t timer, int flags, const struct itimerspec *value,
                   struct itimerspec *old_value),
                  (timer, flags, value, old_value))
KEVENT_BIND_TIMER(timer_gettime, (timer_t timer, struct itimerspec *value), (timer, value))
KEVENT_BIND_TIMER(timer_getoverrun, (timer_t timer), (timer))
KEVENT_BIND_TIMER(timer_delete, (timer_t timer), (timer))

#ifndef KEVENT_WEAK
KEVENT_BIND(mq_notify, (int message_queue, const struct sigevent *notification), __THROW)
/* The names of 2006, which are in no C library. */
KEVENT_BIND(aio_recv, (int kev_fd, int sock_fd, void *buf, size_t size, unsigned int flags),
            __THROW)
KEVENT_BIND(aio_send, (int kev_fd, int sock_fd, const void *buf, size_t size, unsigned int flags),
            __THROW)
KEVENT_BIND_LONG(aio_sendfile, (int kev_fd, int sock_fd, int in_fd, off_t offset, size_t count))
KEVENT_BIND_LONG(aio_sendfile_path,
                 (int kev_fd, int sock_fd, const char *path, off_t offset, size_t count))
KEVENT_BIND(getaddrinfo_a,
            (int mode, struct gaicb *list[], int count, struct sigevent *notification),
            KEVENT_THROWS)
#ifdef __USE_FILE_OFFSET64
#define aio_read kevent_aio_read
#define aio_write kevent_aio_write
#define aio_fsync kevent_aio_fsync
#define aio_cancel kevent_aio_cancel
#define aio_suspend kevent_aio_suspend
#define lio_listio kevent_lio_listio
#else
KEVENT_BIND(aio_read, (struct aiocb * control), __THROW)
KEVENT_BIND(aio_write, (struct aiocb * control), __THROW)
KEVENT_BIND(aio_fsync, (int operation, struct aiocb *control), __THROW)
KEVENT_BIND(aio_cancel, (int fd, struct aiocb *control), __THROW)
KEVENT_BIND(aio_suspend,
            (const struct aiocb *const list[], int count, const struct timespec *timeout),
            KEVENT_THROWS)
KEVENT_BIND(lio_listio,
            (int mode, struct aiocb *const list[], int count, struct sigevent *notification),
            __THROW)
#endif
#ifdef __USE_LARGEFILE64
KEVENT_BIND(aio_read64, (struct aiocb64 * control), __THROW)
KEVENT_BIND(aio_write64, (struct aiocb64 * control), __THROW)
KEVENT_BIND(aio_fsync64, (int operation, struct aiocb64 *control), __THROW)
KEVENT_BIND(aio_cancel64, (int fd, struct aiocb64 *control), __THROW)
KEVENT_BIND(aio_suspend64,
            (const struct aiocb64 *const list[], int count, const struct timespec *timeout),
            __THROW)
KEVENT_BIND(lio_listio64,
            (int mode, struct aiocb64 *const list[], int count, struct sigevent *notification),
            __THROW)
#endif
#undef KEVENT_BIND
#undef KEVENT_BIND_LONG
#endif /* KEVENT_WEAK */

#undef KEVENT_BIND_TIMER
#undef KEVENT_DEFINED
#undef KEVENT_NAMED
#undef KEVENT_THROWS
#pragma GCC diagnostic pop
#endif /* KEVENT_NO_BINDING */

/* ---- Helpers ----------------------------------------------------------- */

/* Whether the library is in the process: always so when linked; with
 * KEVENT_WEAK, so when it is preloaded or linked.  Async-signal-safe. */
static __inline int kevent_available(void) {
#ifdef KEVENT_WEAK
  return &kevent_init != 0;
#else
  return 1;
#endif
}

/* Fills *sev for a timer that completes into the queue kev_fd with this
 * cookie: what the designated initialiser says in C, for languages that can't
 * say it.  Async-signal-safe. */
static __inline void kevent_sigevent(struct sigevent *sev, int kev_fd, void *cookie) {
  __builtin_memset(sev, 0, sizeof *sev);
  sev->sigev_notify = SIGEV_KEVENT;
  sev->sigev_kevent_fd = kev_fd;
  sev->sigev_value.sival_ptr = cookie;
}

#ifdef __cplusplus
}
#endif

#undef KEVENT_FUNCTION

#endif /* POSIX */
#endif /* KEVENT_KEVENT_H_ */
