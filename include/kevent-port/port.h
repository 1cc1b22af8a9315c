/* SPDX-License-Identifier: MIT */
/*
 * <port.h>: event ports, as illumos and Solaris have them, over a queue of libkevent.
 *
 *     int port = port_create();
 *     port_associate(port, PORT_SOURCE_FD, fd, POLLIN, cookie);
 *     uint_t n = 1;
 *     port_getn(port, events, max, &n, &timeout);
 *
 * timer_create, mq_notify, aio_read, aio_write, aio_fsync and lio_listio take SIGEV_PORT.
 *
 * The header is in a folder of its own: -I…/kevent-port, and -lkevent-port -lkevent to link, or
 * what pkg-config says of kevent-port.  Names, structures and values are illumos's, but for
 * SIGEV_PORT, whose value there is one of Linux's (SIGEV_THREAD_ID).  port(7) has the differences.
 *
 * Unless its comment says otherwise, a function may be called from any thread at any time, is not
 * async-signal-safe, returns -1 with errno set when it fails, and leaves errno alone otherwise.
 */
#ifndef KEVENT_PORT_PORT_H_
#define KEVENT_PORT_PORT_H_

/* The names that kevent.h binds are bound here to functions that take SIGEV_KEVENT as well.  Where
 * it has bound them before, the names become macros. */
#if defined(KEVENT_KEVENT_H_) && !defined(KEVENT_NO_BINDING)
#define KEVENT_PORT_BY_MACROS
#endif
#ifndef KEVENT_NO_BINDING
#define KEVENT_NO_BINDING
#include <kevent/kevent.h>
#undef KEVENT_NO_BINDING
#else
#include <kevent/kevent.h>
#define KEVENT_PORT_NO_BINDING
#endif

#include <aio.h>
#include <poll.h>
#include <sys/types.h>

/* What Solaris's <sys/types.h> and <sys/time.h> declare, and programs for event ports use. */
typedef unsigned short ushort_t;
typedef unsigned int uint_t;
typedef struct timespec timespec_t;
typedef struct timespec timestruc_t;
#ifndef CLOCK_HIGHRES
#define CLOCK_HIGHRES CLOCK_MONOTONIC
#endif

/* sigev_notify: completions go to the port that the port_notify_t at sigev_value.sival_ptr names.
 */
#define SIGEV_PORT 16

/* portev_source */
#define PORT_SOURCE_AIO 1   /* object: the struct aiocb, or the array of a list */
#define PORT_SOURCE_TIMER 2 /* object: the timer_t; events: how often it has expired */
#define PORT_SOURCE_USER 3  /* object: 0; events: those of port_send */
#define PORT_SOURCE_FD 4    /* object: the descriptor; events: those of poll(2) */
#define PORT_SOURCE_ALERT 5 /* object: 0; events: those of port_alert */
#define PORT_SOURCE_MQ 6    /* object: the mqd_t */
#define PORT_SOURCE_FILE 7  /* object: the file_obj_t; events: FILE_… */

typedef struct port_event {
  int portev_events;
  ushort_t portev_source;
  ushort_t portev_pad;
  uintptr_t portev_object;
  void *portev_user; /* of the association or the call; never followed */
} port_event_t;

/* What SIGEV_PORT needs to know.  Read by the call only. */
typedef struct port_notify {
  int portnfy_port;
  void *portnfy_user;
} port_notify_t;

/* What PORT_SOURCE_FILE is associated with.  Read by port_associate only; its address is the name
 * of the association. */
typedef struct file_obj {
  timestruc_t fo_atime; /* as stat(2) has said; all three 0: not compared */
  timestruc_t fo_mtime;
  timestruc_t fo_ctime;
  uintptr_t fo_pad[3];
  char *fo_name;
} file_obj_t;

/* Events of PORT_SOURCE_FILE that can be asked for, and a flag. */
#define FILE_ACCESS 0x00000001
#define FILE_MODIFIED 0x00000002
#define FILE_ATTRIB 0x00000004
#define FILE_TRUNC 0x00100000
#define FILE_NOFOLLOW 0x10000000 /* watch a symbolic link itself */

/* Events of PORT_SOURCE_FILE that are reported in any case. */
#define FILE_DELETE 0x00000010
#define FILE_RENAME_TO 0x00000020   /* another file has taken the name */
#define FILE_RENAME_FROM 0x00000040 /* the file has another name */
#define UNMOUNTED 0x20000000
#define MOUNTEDOVER 0x40000000 /* never reported: Linux does not tell */
#define FILE_EXCEPTION (UNMOUNTED | FILE_DELETE | FILE_RENAME_TO | FILE_RENAME_FROM | MOUNTEDOVER)

/* Flags of port_alert. */
#define PORT_ALERT_SET 0x01
#define PORT_ALERT_UPDATE 0x02
#define PORT_ALERT_INVALID (PORT_ALERT_SET | PORT_ALERT_UPDATE)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a port and returns its descriptor: close-on-exec, to be closed with close(2), readable to
 * poll(2) whenever an event can be retrieved.  A port in a child of fork is a new, empty one.
 *
 * EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM  as kevent_init.
 */
int port_create(void);

/*
 * Associates the object with the port: PORT_SOURCE_FD with a descriptor and the events of poll(2),
 * or PORT_SOURCE_FILE with the address of a file_obj_t and FILE_… events.  One event is sent, at
 * once where there is cause; when it is retrieved the association is over.  An object that is
 * associated has its events and user replaced; an event of it that was not retrieved is withdrawn.
 *
 * EBADF    port is not open.
 * EBADFD   port is no port; object is no open descriptor.
 * EINVAL   source is neither of the two; unknown FILE_ events.
 * EFAULT   PORT_SOURCE_FILE: object or its name is NULL.
 * EACCES, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG  PORT_SOURCE_FILE: as stat(2) and inotify(7).
 * EAGAIN   the port, or the user (max_user_watches), has as many associations as can be.
 * ELOOP    the descriptor is that of a port that cannot be put inside this one.
 * EMFILE, ENFILE, ENOMEM  no descriptor, no memory.
 */
int port_associate(int port, int source, uintptr_t object, int events, void *user);

/*
 * Ends an association, and withdraws its event where no thread has retrieved it.
 *
 * EBADF, EBADFD, EINVAL  as port_associate; EBADFD also for a descriptor that was closed.
 * ENOENT                 object is not associated with the port.
 */
int port_dissociate(int port, int source, uintptr_t object);

/*
 * Retrieves one event into *event.  timeout: NULL for ever, {0, 0} not to wait; relative, on
 * CLOCK_MONOTONIC.  A cancellation point while it waits.  Where it fails *event is not written.
 *
 * EBADF    port is not open, or was closed while the caller waited.
 * EBADFD   port is no port.
 * EFAULT   event is NULL.
 * EINTR    a signal handler has run.
 * EINVAL   timeout is out of range.
 * ETIME    no event has come in time.
 */
int port_get(int port, port_event_t *event, const timespec_t *timeout);

/*
 * Retrieves *nget events or more, max at most, and stores in *nget how many.  Waits as port_get
 * does until there are *nget; with *nget 0 it takes what is there and does not wait.  With max 0 it
 * takes nothing, and stores how many there are.
 *
 * The errors are those of port_get, with *nget 0, but:
 * ETIME    *nget may be less than was asked for and not 0: so many events were retrieved.
 * EINVAL   list or nget is NULL; *nget is larger than max, or than 8192.
 */
int port_getn(int port, port_event_t list[], uint_t max, uint_t *nget, const timespec_t *timeout);

/*
 * Sends an event of the source PORT_SOURCE_USER.
 *
 * EBADF, EBADFD  as port_get.
 * EAGAIN, ENOMEM 16777216 events are in the port; no memory.
 */
int port_send(int port, int events, void *user);

/*
 * Sends one to each of nent ports, and returns how many were sent.  Where that is less than nent
 * errors[i] is 0, or the error of ports[i]; otherwise errors is not written.
 *
 * EINVAL  nent is 0.
 * EFAULT  ports or errors is NULL.
 */
int port_sendn(int ports[], int errors[], uint_t nent, int events, void *user);

/*
 * With events that are not 0 the port is in alert mode: every call that waits for events, and every
 * call after it, returns one event of the source PORT_SOURCE_ALERT with these events and user.
 * Events that come meanwhile stay.  With events 0 the alert mode is over.
 *
 * flags: PORT_ALERT_SET replaces an alert, PORT_ALERT_UPDATE does not.
 *
 * EBADF, EBADFD  as port_get.
 * EBUSY   PORT_ALERT_UPDATE, and the port is in alert mode.
 * EINVAL  both flags, or an unknown one.
 */
int port_alert(int port, int flags, int events, void *user);

/*
 * The functions whose names follow kevent_port_: with SIGEV_PORT their completions go to a port,
 * with anything else, SIGEV_KEVENT included, they are libkevent's (kevent_names(3)).
 *
 * With SIGEV_PORT, beside the errors that they have in any case:
 * EBADF   portnfy_port is not open.
 * EBADFD  it is no port.
 * EFAULT  sigev_value.sival_ptr is NULL.
 */
int kevent_port_timer_create(clockid_t clock, struct sigevent *notification,
                             timer_t *timer) __THROW;
int kevent_port_mq_notify(int message_queue, const struct sigevent *notification) __THROW;
int kevent_port_aio_read(struct aiocb *control) __THROW;
int kevent_port_aio_write(struct aiocb *control) __THROW;
int kevent_port_aio_fsync(int operation, struct aiocb *control) __THROW;
int kevent_port_lio_listio(int mode, struct aiocb *const list[], int count,
                           struct sigevent *notification) __THROW;
int kevent_port_aio_read64(struct aiocb64 *control) __THROW;
int kevent_port_aio_write64(struct aiocb64 *control) __THROW;
int kevent_port_aio_fsync64(int operation, struct aiocb64 *control) __THROW;
int kevent_port_lio_listio64(int mode, struct aiocb64 *const list[], int count,
                             struct sigevent *notification) __THROW;

/*
 * The names of POSIX stand for these, and for libkevent's where they take what the former have
 * made.  KEVENT_NO_BINDING before this header leaves them alone.
 */
#ifndef KEVENT_PORT_NO_BINDING
#ifdef KEVENT_PORT_BY_MACROS
#undef aio_read
#undef aio_write
#undef aio_fsync
#undef lio_listio
#define timer_create kevent_port_timer_create
#define mq_notify kevent_port_mq_notify
#define aio_read kevent_port_aio_read
#define aio_write kevent_port_aio_write
#define aio_fsync kevent_port_aio_fsync
#define lio_listio kevent_port_lio_listio
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
/* Cancellation points may throw: KEVENT_PORT_WAITS. */
#ifdef __cplusplus
#define KEVENT_PORT_NAMED(name) __THROW __asm__(name)
#define KEVENT_PORT_WAITS(name) __asm__(name)
#else
#define KEVENT_PORT_NAMED(name) __asm__(name) __THROW
#define KEVENT_PORT_WAITS(name) __asm__(name)
#endif
int timer_create(clockid_t clock, struct sigevent *notification, timer_t *timer)
    KEVENT_PORT_NAMED("kevent_port_timer_create");
int timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                  struct itimerspec *old_value) KEVENT_PORT_NAMED("kevent_timer_settime");
int timer_gettime(timer_t timer, struct itimerspec *value)
    KEVENT_PORT_NAMED("kevent_timer_gettime");
int timer_getoverrun(timer_t timer) KEVENT_PORT_NAMED("kevent_timer_getoverrun");
int timer_delete(timer_t timer) KEVENT_PORT_NAMED("kevent_timer_delete");
int mq_notify(int message_queue, const struct sigevent *notification)
    KEVENT_PORT_NAMED("kevent_port_mq_notify");
/* <aio.h> has other assembler names for its functions then. */
#ifdef __USE_FILE_OFFSET64
#define aio_read kevent_port_aio_read
#define aio_write kevent_port_aio_write
#define aio_fsync kevent_port_aio_fsync
#define aio_cancel kevent_aio_cancel
#define aio_suspend kevent_aio_suspend
#define lio_listio kevent_port_lio_listio
#else
int aio_read(struct aiocb *control) KEVENT_PORT_NAMED("kevent_port_aio_read");
int aio_write(struct aiocb *control) KEVENT_PORT_NAMED("kevent_port_aio_write");
int aio_fsync(int operation, struct aiocb *control) KEVENT_PORT_NAMED("kevent_port_aio_fsync");
int aio_cancel(int fd, struct aiocb *control) KEVENT_PORT_NAMED("kevent_aio_cancel");
int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout)
    KEVENT_PORT_WAITS("kevent_aio_suspend");
int lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *notification)
    KEVENT_PORT_NAMED("kevent_port_lio_listio");
#endif
#undef KEVENT_PORT_NAMED
#undef KEVENT_PORT_WAITS
#pragma GCC diagnostic pop
#endif /* KEVENT_PORT_BY_MACROS */
#endif /* KEVENT_PORT_NO_BINDING */

#ifdef __cplusplus
}
#endif

#endif /* KEVENT_PORT_PORT_H_ */
