/* SPDX-License-Identifier: MIT */
/*
 * <sys/event.h>: kqueue, as FreeBSD has it, over a queue of libkevent.
 *
 *     int kq = kqueue();
 *     struct kevent change, event;
 *     EV_SET(&change, fd, EVFILT_READ, EV_ADD, 0, 0, cookie);
 *     kevent(kq, &change, 1, &event, 1, NULL);
 *
 * aio_read, aio_write, aio_fsync and lio_listio take SIGEV_KEVENT, with the kqueue in
 * sigev_notify_kqueue and udata in sigev_value.
 *
 * The header is in a folder of its own: -I.../kevent-kqueue, and -lkevent-kqueue -lkevent to link,
 * or what pkg-config says of kevent-kqueue.  Names, structures and values are FreeBSD's, but for
 * SIGEV_KEVENT, whose value there is one of Linux's.  kevent-kqueue(7) has the differences.
 *
 * A source file of C++ includes this header or <kevent/kevent.hpp>: the structure of the one has
 * the name of the other's namespace.
 */
#ifndef KEVENT_KQUEUE_SYS_EVENT_H_
#define KEVENT_KQUEUE_SYS_EVENT_H_

#if defined(__cplusplus) && defined(KEVENT_KEVENT_HPP_)
#error \
    "struct kevent and namespace kevent have one name: include <sys/event.h> or <kevent/kevent.hpp>"
#endif

/* The names of asynchronous I/O that kevent.h binds are bound here.  Where it has bound them
 * before, and where <aio.h> has other assembler names for them, they become macros. */
#if defined(KEVENT_KEVENT_H_) && !defined(KEVENT_NO_BINDING)
#define KEVENT_KQUEUE_BY_MACROS
#endif
#ifdef KEVENT_NO_BINDING
#define KEVENT_KQUEUE_NO_BINDING
#include <kevent/kevent.h>
#else
#define KEVENT_NO_BINDING
#include <kevent/kevent.h>
#undef KEVENT_NO_BINDING
#endif

#if defined(__USE_FILE_OFFSET64) && !defined(KEVENT_KQUEUE_BY_MACROS)
#define KEVENT_KQUEUE_BY_MACROS
#endif

#include <aio.h>
#include <fcntl.h> /* O_CLOEXEC, for kqueue1 */
#include <stdint.h>
#include <sys/types.h>

/* struct sigevent, with SIGEV_KEVENT: the descriptor of the kqueue.  Usable as a member and, in C,
 * as a designator. */
#define sigev_notify_kqueue _sigev_un._tid
/* EV_ONESHOT, EV_CLEAR, EV_DISPATCH: they make no difference, as each completion comes once. */
#define sigev_notify_kevent_flags _sigev_un._pad[1]

/* kevent.filter */
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_AIO (-3) /* events only: ident is the struct aiocb, data its error */
#define EVFILT_VNODE (-4)
#define EVFILT_PROC (-5)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)
#define EVFILT_LIO (-10) /* events only: ident is the list */
#define EVFILT_USER (-11)
/* Events only, and this library's own: what else libkevent reports to the queue, such as a timer of
 * timer_create(2) with SIGEV_KEVENT.  ident, fflags and data are the id, the type and ret_data of
 * its struct ukevent, udata is ptr. */
#define EVFILT_KEVENT (-64)

/* kevent.flags: what to do, */
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_KEEPUDATA 0x0200
/* how to report, */
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080
#define EV_SYSFLAGS 0xf000 /* not looked at in a change */
/* and what is reported. */
#define EV_ERROR 0x4000 /* the errno is in data; 0 with EV_RECEIPT */
#define EV_EOF 0x8000

/* kevent.fflags of EVFILT_READ and EVFILT_WRITE */
#define NOTE_LOWAT 0x0001     /* sockets: data is how many bytes are waited for */
#define NOTE_FILE_POLL 0x0002 /* a regular file is ready at its end, too */

/* of EVFILT_USER */
#define NOTE_FFNOP 0x00000000U
#define NOTE_FFAND 0x40000000U
#define NOTE_FFOR 0x80000000U
#define NOTE_FFCOPY 0xc0000000U
#define NOTE_FFCTRLMASK 0xc0000000U
#define NOTE_FFLAGSMASK 0x00ffffffU
#define NOTE_TRIGGER 0x01000000U

/* of EVFILT_VNODE; those in the second group are refused */
#define NOTE_DELETE 0x0001
#define NOTE_WRITE 0x0002
#define NOTE_EXTEND 0x0004
#define NOTE_ATTRIB 0x0008
#define NOTE_LINK 0x0010
#define NOTE_RENAME 0x0020
#define NOTE_REVOKE 0x0040

#define NOTE_OPEN 0x0080
#define NOTE_CLOSE 0x0100
#define NOTE_CLOSE_WRITE 0x0200
#define NOTE_READ 0x0400

/* of EVFILT_PROC; all but the first are refused */
#define NOTE_EXIT 0x80000000U

#define NOTE_FORK 0x40000000U
#define NOTE_EXEC 0x20000000U
#define NOTE_TRACK 0x00000001U
#define NOTE_TRACKERR 0x00000002U
#define NOTE_CHILD 0x00000004U
#define NOTE_PCTRLMASK 0xf0000000U
#define NOTE_PDATAMASK 0x000fffffU

/* of EVFILT_TIMER: the unit of data; without one it is milliseconds */
#define NOTE_SECONDS 0x00000001U
#define NOTE_MSECONDS 0x00000002U
#define NOTE_USECONDS 0x00000004U
#define NOTE_NSECONDS 0x00000008U
#define NOTE_ABSTIME 0x00000010U /* a moment of CLOCK_REALTIME */

/* Flags of kqueuex. */
#define KQUEUE_CLOEXEC 0x00000001U

struct kevent {
  uintptr_t ident;      /* with filter, the name of the registration */
  short filter;         /* EVFILT_... */
  unsigned short flags; /* EV_... */
  unsigned int fflags;  /* NOTE_... */
  int64_t data;
  void *udata;     /* of the registration; never followed */
  uint64_t ext[4]; /* as registered */
};

#define EV_SET(kevp, ident_, filter_, flags_, fflags_, data_, udata_) \
  do {                                                                \
    struct kevent *kevent_set_ = (kevp);                              \
    kevent_set_->ident = (uintptr_t)(ident_);                         \
    kevent_set_->filter = (short)(filter_);                           \
    kevent_set_->flags = (unsigned short)(flags_);                    \
    kevent_set_->fflags = (unsigned int)(fflags_);                    \
    kevent_set_->data = (int64_t)(data_);                             \
    kevent_set_->udata = (void *)(udata_);                            \
    kevent_set_->ext[0] = 0;                                          \
    kevent_set_->ext[1] = 0;                                          \
    kevent_set_->ext[2] = 0;                                          \
    kevent_set_->ext[3] = 0;                                          \
  } while (0)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The functions, by names that no other library has: a program that was compiled with this header
 * comes to this library, whatever other kqueue is in its process.
 */
#define KEVENT_KQUEUE_NAMED(name) __asm__("kevent_kqueue_" #name)

/*
 * Makes a kqueue and returns its descriptor: close-on-exec, to be closed with close(2), readable to
 * poll(2) whenever an event can be retrieved.  A child of fork has no kqueue.
 *
 * -1 and errno: EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM  as kevent_init.
 *
 * Thread-safe; not async-signal-safe.
 */
int kqueue(void) KEVENT_KQUEUE_NAMED(kqueue);

/* The same; flags is 0 or KQUEUE_CLOEXEC, else EINVAL. */
int kqueuex(unsigned int flags) KEVENT_KQUEUE_NAMED(kqueuex);

/* The same; flags is 0 or O_CLOEXEC, else EINVAL. */
int kqueue1(int flags) KEVENT_KQUEUE_NAMED(kqueue1);

/*
 * Carries out changelist[0 .. nchanges-1], in order, then retrieves up to nevents events into
 * eventlist, which may be the changelist; returns how many.
 *
 * A change that fails is reported in eventlist, with EV_ERROR in flags and the errno in data; so is
 * one with EV_RECEIPT that succeeds, with data 0.  If there was such a report the call returns how
 * many.  Without room for it the call fails with that errno, and the changes behind it are not
 * carried out.
 *
 * Otherwise the call waits for one event, unless nevents is 0.  timeout: NULL for ever, {0, 0} not
 * to wait; relative, on CLOCK_MONOTONIC.  0 when it has passed.
 *
 * Thread-safe; not async-signal-safe.  A cancellation point while it waits: the changes are made
 * then, and no event is lost.  -1 and errno:
 *
 * EBADF    kq is no kqueue, or was closed while the caller waited.
 * EFAULT   changelist or eventlist is NULL, and its length is not 0.
 * EINTR    a signal handler has run while the call waited; the changes were made.
 * EINVAL   nchanges or nevents is negative; timeout is out of range.
 * ENOMEM, EMFILE, ENFILE  as kevent_get_events.
 *
 * Of a change, as an event or as the error of the call:
 * EBADF       ident is no open descriptor.
 * EINVAL      an unknown filter; a parameter that the filter does not have or that is out of range;
 *             EV_KEEPUDATA with EV_ADD.
 * ENOENT      there is no such registration, and flags has no EV_ADD.
 * EOPNOTSUPP  Linux, or libkevent, cannot tell what is asked for.
 * EPERM       EV_ADD of EVFILT_AIO, EVFILT_LIO or EVFILT_KEVENT.
 * ESRCH       EVFILT_PROC: there is no such process.
 * ENOMEM, EMFILE, ENFILE, ENOSPC, EACCES, ELOOP  as kevent_ctl, and the page of the type it has
 * there.
 */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* structure and function have one name */
#endif
int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
           int nevents, const struct timespec *timeout) KEVENT_KQUEUE_NAMED(kevent);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#undef KEVENT_KQUEUE_NAMED

/*
 * The functions whose names follow kevent_kqueue_: libkevent's (kevent_names(3)), and the C
 * library's aio_return.  A status that is fetched takes the event of its operation with it, if that
 * was not retrieved.
 *
 * EINVAL also if sigev_notify_kevent_flags has another flag than EV_ONESHOT, EV_CLEAR, EV_DISPATCH.
 */
int kevent_kqueue_aio_read(struct aiocb *control) __THROW;
int kevent_kqueue_aio_write(struct aiocb *control) __THROW;
int kevent_kqueue_aio_fsync(int operation, struct aiocb *control) __THROW;
ssize_t kevent_kqueue_aio_return(struct aiocb *control) __THROW;
int kevent_kqueue_lio_listio(int mode, struct aiocb *const list[], int count,
                             struct sigevent *notification) __THROW;
int kevent_kqueue_aio_read64(struct aiocb64 *control) __THROW;
int kevent_kqueue_aio_write64(struct aiocb64 *control) __THROW;
int kevent_kqueue_aio_fsync64(int operation, struct aiocb64 *control) __THROW;
ssize_t kevent_kqueue_aio_return64(struct aiocb64 *control) __THROW;
int kevent_kqueue_lio_listio64(int mode, struct aiocb64 *const list[], int count,
                               struct sigevent *notification) __THROW;

/* The names of POSIX stand for these.  KEVENT_NO_BINDING before this header leaves them alone. */
#ifndef KEVENT_KQUEUE_NO_BINDING
#ifdef KEVENT_KQUEUE_BY_MACROS
#undef aio_read
#undef aio_write
#undef aio_fsync
#undef aio_return
#undef aio_cancel
#undef aio_suspend
#undef lio_listio
#define aio_read kevent_kqueue_aio_read
#define aio_write kevent_kqueue_aio_write
#define aio_fsync kevent_kqueue_aio_fsync
#define aio_return kevent_kqueue_aio_return
#define aio_cancel kevent_aio_cancel
#define aio_suspend kevent_aio_suspend
#define lio_listio kevent_kqueue_lio_listio
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
#ifdef __cplusplus
#define KEVENT_KQUEUE_NAMED(name) __THROW __asm__(name)
#else
#define KEVENT_KQUEUE_NAMED(name) __asm__(name) __THROW
#endif
int aio_read(struct aiocb *control) KEVENT_KQUEUE_NAMED("kevent_kqueue_aio_read");
int aio_write(struct aiocb *control) KEVENT_KQUEUE_NAMED("kevent_kqueue_aio_write");
int aio_fsync(int operation, struct aiocb *control) KEVENT_KQUEUE_NAMED("kevent_kqueue_aio_fsync");
ssize_t aio_return(struct aiocb *control) KEVENT_KQUEUE_NAMED("kevent_kqueue_aio_return");
int aio_cancel(int fd, struct aiocb *control) KEVENT_KQUEUE_NAMED("kevent_aio_cancel");
/* A cancellation point, which may throw. */
int aio_suspend(const struct aiocb *const list[], int count,
                const struct timespec *timeout) __asm__("kevent_aio_suspend");
int lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *notification)
    KEVENT_KQUEUE_NAMED("kevent_kqueue_lio_listio");
#undef KEVENT_KQUEUE_NAMED
#pragma GCC diagnostic pop
#endif /* KEVENT_KQUEUE_BY_MACROS */
#endif /* KEVENT_KQUEUE_NO_BINDING */

#ifdef __cplusplus
}
#endif

#endif /* KEVENT_KQUEUE_SYS_EVENT_H_ */
