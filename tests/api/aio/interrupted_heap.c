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
  return 0;
}
