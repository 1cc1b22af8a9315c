/* SPDX-License-Identifier: MIT */
/*
 * close in the handler of a signal that has interrupted malloc, as kevent(7) allows it:
 * it waits for nobody who waits for the heap, and takes nothing from the heap.
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
    static const char message[] = "close in a handler waits for the heap\n";
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

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno)); \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

static int queue;
static int closed;

static void on_signal(int signal) {
  (void)signal;
  const int before = errno;
  in_handler = 1;
  close(closed);
  in_handler = 0;
  errno = before;
}

static void close_in_handler(int fd) {
  closed = fd;
  interrupted = 1;
  free(malloc(16));
  CHECK(!interrupted);
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
  CHECK(write(sockets[0][1], "a", 1) == 1 && write(sockets[1][1], "b", 1) == 1);
  collect(2);
  for (int i = 0; i < BUSY; ++i) {
    CHECK(write(others[i][1], "c", 1) == 1);
    collect(1);
  }
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
  return 0;
}
