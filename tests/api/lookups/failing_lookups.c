/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo_a where the C library gets no memory: the nth allocation of the
 * calling thread fails, for each n there is, in a process of its own.  A call
 * that fails has no event, which the C library's own notification has, and all
 * that it took is free again: as many operations can be in flight as before.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static __thread int until_failure;

static int fails(void) {
  if (until_failure == 0 || --until_failure != 0) return 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "failure %d, line %d: %s\n", nth, __LINE__, #condition); \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

enum { MET = 0, WRONG = 1, NOT_MET = 2 };

static int look_up(int nth) {
  int queue = kevent_init(NULL, 0, 0);
  struct gaicb request = {.ar_name = "127.0.0.1"};
  struct gaicb *list[] = {&request};
  struct sigevent notification;
  kevent_sigevent(&notification, queue, &request);

  until_failure = nth;
  int result = getaddrinfo_a(GAI_NOWAIT, list, 1, &notification);
  int met = until_failure == 0;
  until_failure = 0;

  /* Whatever is told of it is told before this one, which begins later. */
  if (result != 0) {
    request = (struct gaicb){.ar_name = "127.0.0.1"};
    kevent_sigevent(&notification, queue, &notification);
    CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, &notification) == 0);
  }
  struct ukevent event;
  CHECK(kevent_get_events(queue, 1, 1, NULL, &event, 0) == 1);
  CHECK(event.type == KEVENT_GAI);
  CHECK(event.ptr == (result != 0 ? (void *)&notification : (void *)&request));
  CHECK(gai_error(&request) == 0);
  CHECK(kevent_get_events(queue, 0, 1, NULL, &event, 0) == 0);

  /* A record that was given back twice would be in use twice. */
  int ends[2];
  char bytes[2];
  struct aiocb reads[2];
  CHECK(pipe(ends) == 0);
  for (int i = 0; i < 2; i++) {
    memset(&reads[i], 0, sizeof reads[i]);
    reads[i].aio_fildes = ends[0];
    reads[i].aio_buf = &bytes[i];
    reads[i].aio_nbytes = 1;
    kevent_sigevent(&reads[i].aio_sigevent, queue, &reads[i]);
    CHECK(aio_read(&reads[i]) == 0);
  }
  CHECK(write(ends[1], "ab", 2) == 2);
  for (int i = 0; i < 2; i++) {
    CHECK(kevent_get_events(queue, 1, 1, NULL, &event, 0) == 1);
    CHECK(event.ptr == &reads[i]);
    CHECK(aio_return(&reads[i]) == 1);
  }
  return met ? MET : NOT_MET;
}

int main(void) {
  int failures = 0;
  for (int nth = 1;; nth++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(60);
      exit(look_up(nth));
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) == WRONG) {
      fprintf(stderr, "failure %d: status %#x\n", nth, (unsigned)status);
      return EXIT_FAILURE;
    }
    if (WEXITSTATUS(status) == NOT_MET) break;
    failures++;
  }
  if (failures == 0) {
    fprintf(stderr, "no allocation was seen\n");
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
