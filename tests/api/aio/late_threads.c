/* SPDX-License-Identifier: MIT */
/*
 * A thread with a cancellation pending, in calls that are no cancellation points and make
 * a thread that tells of an operation (SIGEV_THREAD): it is not cancelled there, where it
 * waits for the new thread to begin, and all is told.
 *
 * Threads begin late here: when their maker sleeps, or has been cancelled.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/check.h"

/* ---- Threads that begin late ---- */

static atomic_int cancelled;
static atomic_int late;

struct start {
  void *(*body)(void *);
  void *argument;
  pid_t maker;
};

static int sleeps(pid_t thread) {
  char path[64];
  char line[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 1;
  const char *const read = fgets(line, sizeof line, file);
  fclose(file);
  const char *const name_end = read == NULL ? NULL : strrchr(line, ')');
  return name_end == NULL || name_end[2] == 'S';
}

static void *begin_late(void *argument) {
  const struct start start = *(struct start *)argument;
  free(argument);
  while (!cancelled && !sleeps(start.maker)) {
  }
  return start.body(start.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *argument) {
  static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (create == NULL) *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
  if (!late) return create(thread, attributes, body, argument);
  struct start *start = malloc(sizeof *start);
  CHECK(start != NULL);
  *start = (struct start){body, argument, (pid_t)syscall(SYS_gettid)};
  return create(thread, attributes, begin_late, start);
}

/* ---- The calls ---- */

static int queue;
static atomic_int told;
static atomic_int returned;

static void tell(union sigval value) {
  (void)value;
  ++told;
}

static void note_cancelled(void *unused) {
  (void)unused;
  cancelled = 1;
}

static void *begin_list(void *list) {
  struct sigevent notification;
  kevent_sigevent(&notification, queue, NULL);
  pthread_cleanup_push(note_cancelled, NULL);
  late = 1;
  pthread_cancel(pthread_self());
  CHECK(lio_listio(LIO_NOWAIT, list, 4, &notification) == 0);
  returned = 1;
  late = 0;
  pthread_cleanup_pop(0);
  pthread_testcancel();
  return NULL;
}

int main(void) {
  alarm(250);
  queue = kevent_init(NULL, 0, 0);
  FILE *const file = tmpfile();
  CHECK(queue >= 0 && file != NULL);
  char bytes[4][64];
  const int fd = fileno(file);
  CHECK(pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes);
  static struct aiocb reads[4];
  struct aiocb *list[4];
  for (int i = 0; i < 4; ++i) {
    reads[i].aio_fildes = fd;
    reads[i].aio_buf = bytes[i];
    reads[i].aio_nbytes = sizeof bytes[i];
    reads[i].aio_lio_opcode = LIO_READ;
    kevent_sigevent(&reads[i].aio_sigevent, queue, &reads[i]);
    list[i] = &reads[i];
  }
  reads[1].aio_sigevent.sigev_notify = SIGEV_THREAD;
  reads[1].aio_sigevent.sigev_notify_function = tell;
  reads[1].aio_sigevent.sigev_notify_attributes = NULL;

  pthread_t thread;
  void *result;
  CHECK(pthread_create(&thread, NULL, begin_list, list) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  CHECK(returned);
  CHECK(result == PTHREAD_CANCELED);
  struct ukevent events[4];
  CHECK(kevent_get_events(queue, 4, 4, NULL, events, 0) == 4);
  for (int i = 0; i < 4; ++i) CHECK(aio_error(&reads[i]) == 0 && aio_return(&reads[i]) == 64);
  while (told != 1) usleep(1000);
  return 0;
}
