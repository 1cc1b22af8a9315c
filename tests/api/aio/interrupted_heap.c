/* SPDX-License-Identifier: MIT */
/*
 * close and aio_suspend in the handler of a signal that has interrupted malloc, as kevent(7)
 * and sigev_kevent(7) allow it: they wait for no thread that waits for the heap, and take
 * nothing from the heap.
 *
 * The heap has one lock here, which the interrupted thread holds.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/check.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static atomic_int heap;
static atomic_int waiters; /* for the heap */
static atomic_int asked_in_handler;
static __thread int in_handler;
static __thread int interrupted; /* the next malloc */
static void (*before_signal)(void);

static void enter(void) {
  if (in_handler) {
    static const char message[] = "a call in a handler waits for the heap\n";
    ++asked_in_handler;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(3);
    _exit(2);
  }
  ++waiters;
  while (atomic_exchange(&heap, 1)) {
  }
  --waiters;
}

static void leave(void) { heap = 0; }

void *malloc(size_t size) {
  enter();
  if (interrupted) {
    interrupted = 0;
    before_signal();
    raise(SIGUSR1);
  }
  void *result = __libc_malloc(size);
  leave();
  return result;
}

void *calloc(size_t count, size_t size) {
  enter();
  void *result = __libc_calloc(count, size);
  leave();
  return result;
}

void *realloc(void *old, size_t size) {
  enter();
  void *result = __libc_realloc(old, size);
  leave();
  return result;
}

static int queue;
static void (*in_signal)(void);

static void on_signal(int signal) {
  (void)signal;
  const int before = errno;
  in_handler = 1;
  in_signal();
  in_handler = 0;
  errno = before;
}

static void interrupt_malloc(void) {
  interrupted = 1;
  free(malloc(16));
  CHECK(!interrupted);
}

static int closed;
static void do_close(void) { close(closed); }

static void close_in_handler(int fd) {
  closed = fd;
  in_signal = do_close;
  interrupt_malloc();
}

/* Feeds the operation that is waited for, or the one before it, and waits. */
static int fed;
static const struct aiocb *suspended;
static int result_of_suspend;
static void do_suspend(void) {
  if (write(fed, "x", 1) != 1) _exit(3);
  result_of_suspend = aio_suspend(&suspended, 1, NULL);
}

static void suspend_in_handler(int fd, const struct aiocb *control) {
  fed = fd;
  suspended = control;
  in_signal = do_suspend;
  interrupt_malloc();
  CHECK(result_of_suspend == 0);
  CHECK(aio_error(control) == 0);
}

/* A socket whose reads are for a thread that blocks, and its peer. */
static void make_blocking(int ends[2]) {
  const struct timeval hour = {3600, 0};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour) == 0);
}

static char bytes[8];

static void prepare(struct aiocb *control, int fd) {
  memset(control, 0, sizeof *control);
  control->aio_fildes = fd;
  control->aio_buf = bytes;
  control->aio_nbytes = 1;
  control->aio_lio_opcode = LIO_READ;
  control->aio_sigevent.sigev_notify = SIGEV_KEVENT;
  control->aio_sigevent.sigev_kevent_fd = queue;
}

/* What is closed before a thread has begun to read from it has no reader: its read has ended. */
static void feed(int fd) { CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == 1 || errno == EPIPE); }

static void collect(int count) {
  struct ukevent events[4];
  CHECK(kevent_get_events(queue, (unsigned)count, 4, NULL, events, 0) == count);
}

/* ---- A thread is being made ---- */

static int sockets[2][2];
static struct aiocb reads[2];
static atomic_int may_begin;
static atomic_int has_begun;

static void *begin_second(void *unused) {
  (void)unused;
  while (!may_begin) {
  }
  CHECK(aio_read(&reads[1]) == 0);
  has_begun = 1;
  return NULL;
}

static void while_a_thread_is_made(void) {
  may_begin = 1;
  while (waiters == 0 && !has_begun) {
  }
}

/* What is busy is waited for, so that the second read needs a thread of its own. */
static void does_not_wait_for_a_thread(void) {
  for (int i = 0; i < 2; ++i) {
    make_blocking(sockets[i]);
    prepare(&reads[i], sockets[i][0]);
  }
  /* All threads of the pool are busy, as many as there may be but one. */
  enum { BUSY = 18 };
  static struct aiocb busy[BUSY];
  static int others[BUSY][2];
  for (int i = 0; i < BUSY; ++i) {
    make_blocking(others[i]);
    prepare(&busy[i], others[i][0]);
    CHECK(aio_read(&busy[i]) == 0);
  }
  CHECK(aio_read(&reads[0]) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, begin_second, NULL) == 0);
  before_signal = while_a_thread_is_made;
  close_in_handler(sockets[0][0]);
  CHECK(pthread_join(thread, NULL) == 0);
  feed(sockets[0][1]);
  feed(sockets[1][1]);
  collect(2);
  for (int i = 0; i < BUSY; ++i) {
    feed(others[i][1]);
    collect(1);
  }
}

/* ---- A thread is to be told of what close has ended ---- */

static atomic_int told;

static void tell(union sigval value) {
  (void)value;
  ++told;
}

static void tell_by_thread(struct sigevent *notification) {
  memset(notification, 0, sizeof *notification);
  notification->sigev_notify = SIGEV_THREAD;
  notification->sigev_notify_function = tell;
  /* Of a larger stack than any that the C library keeps: it makes each anew. */
  static pthread_attr_t attributes;
  static size_t stack = (size_t)64 << 20;
  stack += (size_t)1 << 20;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, stack) == 0);
  notification->sigev_notify_attributes = &attributes;
}

static void at_once(void) {}

/* A list whose second member waits for the first, which is in progress: as a member it is
   told of by a thread, or as the last of a list that is.  False if none had begun with the
   first yet. */
static int makes_no_thread(int of_list) {
  int ends[2];
  make_blocking(ends);
  static struct aiocb controls[2];
  struct aiocb *list[2];
  for (int i = 0; i < 2; ++i) {
    prepare(&controls[i], ends[0]);
    list[i] = &controls[i];
  }
  struct sigevent notification;
  if (of_list) {
    tell_by_thread(&notification);
    CHECK(aio_read(list[0]) == 0);
    CHECK(lio_listio(LIO_NOWAIT, list + 1, 1, &notification) == 0);
  } else {
    tell_by_thread(&controls[1].aio_sigevent);
    CHECK(lio_listio(LIO_NOWAIT, list, 2, NULL) == 0);
  }
  told = 0;
  before_signal = at_once;
  close_in_handler(ends[0]);
  CHECK(aio_error(list[1]) == ECANCELED);
  /* By nobody who is busy with the first. */
  while (told != 1) usleep(1000);
  const int had_begun = aio_error(list[0]) == EINPROGRESS;
  if (had_begun) feed(ends[1]);
  collect(of_list ? 2 : 1);
  close(ends[1]);
  return had_begun;
}

/* ---- aio_suspend, beside an operation that is told of by a thread ---- */

static struct aiocb awaited;
static struct aiocb other;
static int pipes[2][2];

static void make_pipes(void) {
  for (int i = 0; i < 2; ++i) CHECK(pipe(pipes[i]) == 0);
}

static void close_pipes(void) {
  for (int i = 0; i < 4; ++i) CHECK(close(pipes[i / 2][i % 2]) == 0);
}

/* Ends the other operation, whose notification waits for the heap then. */
static void while_another_is_told_of(void) {
  if (write(pipes[1][1], "x", 1) != 1) _exit(3);
  while (waiters == 0) {
  }
}

static void suspends_beside_a_notification(void) {
  make_pipes();
  prepare(&awaited, pipes[0][0]);
  prepare(&other, pipes[1][0]);
  tell_by_thread(&other.aio_sigevent);
  struct aiocb *list[] = {&awaited, &other};
  CHECK(lio_listio(LIO_NOWAIT, list, 2, NULL) == 0);
  told = 0;
  before_signal = while_another_is_told_of;
  suspend_in_handler(pipes[0][1], &awaited);
  collect(1);
  while (told != 1) usleep(1000);
  close_pipes();
}

/* The end of the operation is that of its list, which is told of by a thread. */
static void suspends_for_a_list_that_is_told_of(void) {
  make_pipes();
  prepare(&awaited, pipes[0][0]);
  struct aiocb *list[] = {&awaited};
  struct sigevent notification;
  tell_by_thread(&notification);
  CHECK(lio_listio(LIO_NOWAIT, list, 1, &notification) == 0);
  told = 0;
  before_signal = at_once;
  suspend_in_handler(pipes[0][1], &awaited);
  collect(1);
  while (told != 1) usleep(1000);
  close_pipes();
}

/* ---- aio_suspend, beside an operation that takes one more thread ---- */

static struct aiocb behind;
static struct aiocb blocking;

/* A read of nothing waits in line behind `other`; it takes a thread that
   blocks, and the only other one is busy. */
static void put_one_behind_another(int ends[2]) {
  make_pipes();
  make_blocking(ends);
  prepare(&awaited, pipes[0][0]);
  prepare(&other, pipes[1][0]);
  prepare(&behind, pipes[1][0]);
  behind.aio_nbytes = 0;
  prepare(&blocking, ends[0]);
  CHECK(aio_read(&awaited) == 0 && aio_read(&other) == 0);
  CHECK(aio_read(&behind) == 0 && aio_read(&blocking) == 0);
}

static void end_what_was_put_behind(const int ends[2]) {
  feed(ends[1]);
  collect(1);
  close(ends[0]);
  close(ends[1]);
  close_pipes();
}

static void while_the_one_behind_begins(void) {
  if (write(pipes[1][1], "x", 1) != 1) _exit(3);
  while (waiters == 0 && aio_error(&behind) == EINPROGRESS) {
  }
}

static void suspends_beside_one_that_begins(void) {
  int ends[2];
  put_one_behind_another(ends);
  before_signal = while_the_one_behind_begins;
  suspend_in_handler(pipes[0][1], &awaited);
  collect(3);
  end_what_was_put_behind(ends);
}

static void suspends_for_one_that_begins(void) {
  int ends[2];
  put_one_behind_another(ends);
  before_signal = at_once;
  suspend_in_handler(pipes[1][1], &behind);
  collect(2);
  CHECK(write(pipes[0][1], "x", 1) == 1);
  collect(1);
  end_what_was_put_behind(ends);
}

/* By no signal: what waits in vain here has them blocked. */
static void *end_when_stuck(void *unused) {
  static const char message[] = "stuck\n";
  (void)unused;
  sleep(100);
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(3);
  _exit(2);
}

int main(void) {
  pthread_t guard;
  CHECK(pthread_create(&guard, NULL, end_when_stuck, NULL) == 0);
  const struct sigaction action = {.sa_handler = on_signal};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  queue = kevent_init(NULL, 0, 0);
  CHECK(queue >= 0);
  does_not_wait_for_a_thread();
  for (int of_list = 0; of_list < 2; ++of_list) {
    while (!makes_no_thread(of_list)) {
    }
  }
  suspends_beside_a_notification();
  suspends_for_a_list_that_is_told_of();
  suspends_beside_one_that_begins();
  suspends_for_one_that_begins();
  return 0;
}
