/* SPDX-License-Identifier: MIT */
/*
 * A shared library that uses libkevent, under a program that may not know of it.
 * Compiled twice, as foo and as bar: LIBRARY is the first part of its names.
 */
#define _GNU_SOURCE
#include "library.h"

#include <aio.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <mqueue.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME_OF(library, name) library##_##name
#define NAME_IN(library, name) NAME_OF(library, name)
#define NAME(name) NAME_IN(LIBRARY, name)

#define TEXT_OF(line) #line
#define TEXT(line) TEXT_OF(line)
#define REQUIRE(condition) \
  if (!(condition)) return "line " TEXT(__LINE__) ": " #condition

static const struct timespec minute = {.tv_sec = 60};

static int next(int queue, struct ukevent *event) {
  return kevent_get_events(queue, 1, 1, &minute, event, 0);
}

static int collects_nothing(int queue) {
  struct ukevent event;
  return kevent_get_events(queue, 0, 1, NULL, &event, 0);
}

static int entries(const char *path) {
  DIR *directory = opendir(path);
  int count = -2; /* . and .. */
  while (directory != NULL && readdir(directory) != NULL) count++;
  if (directory != NULL) closedir(directory);
  return count;
}

static int open_descriptors(void) { return entries("/proc/self/fd"); }

/* By the names of POSIX, which the header has bound. */
static const char *use_timers(int queue) {
  char cookie;
  struct sigevent sigev;
  kevent_sigevent(&sigev, queue, &cookie);
  timer_t timer;
  REQUIRE(timer_create(CLOCK_MONOTONIC, &sigev, &timer) == 0);
  const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
  REQUIRE(timer_settime(timer, 0, &soon, NULL) == 0);
  struct ukevent event;
  REQUIRE(next(queue, &event) == 1);
  REQUIRE(event.type == KEVENT_POSIX_TIMER && event.ptr == &cookie);
  REQUIRE(timer_getoverrun(timer) == 0);
  struct itimerspec left;
  REQUIRE(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec == 0);
  REQUIRE(timer_delete(timer) == 0);
  REQUIRE(timer_delete(timer) == -1 && errno == EINVAL);

  /* Not for a queue: the kernel's. */
  sigev.sigev_notify = SIGEV_NONE;
  REQUIRE(timer_create(CLOCK_MONOTONIC, &sigev, &timer) == 0);
  REQUIRE(timer_settime(timer, 0, &soon, NULL) == 0 && timer_gettime(timer, &left) == 0);
  REQUIRE(timer_getoverrun(timer) == 0 && timer_delete(timer) == 0);
  return NULL;
}

static const char *use_message_queue(int queue) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
  char name[64];
  snprintf(name, sizeof name, "/kevent-" TEXT(LIBRARY) "-%d", (int)getpid());
  const mqd_t messages = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
  if (messages == -1 && errno == ENOSYS) return NULL;
  REQUIRE(messages != -1 && mq_unlink(name) == 0);
  struct sigevent sigev;
  kevent_sigevent(&sigev, queue, NULL);
  REQUIRE(mq_notify(messages, &sigev) == 0);
  REQUIRE(mq_send(messages, "m", 1, 0) == 0);
  struct ukevent event;
  REQUIRE(next(queue, &event) == 1 && event.type == KEVENT_MQ);
  REQUIRE(mq_notify(messages, NULL) == 0);
  REQUIRE(mq_close(messages) == 0);
  return NULL;
}

static const char *use_asynchronous_io(int queue) {
  const int file = memfd_create("file", MFD_CLOEXEC);
  REQUIRE(file >= 0);
  char written[] = "written", read[8] = "";
  struct aiocb control = {.aio_fildes = file, .aio_buf = written, .aio_nbytes = sizeof written};
  kevent_sigevent(&control.aio_sigevent, queue, &control);
  struct ukevent event;
  REQUIRE(aio_write(&control) == 0);
  REQUIRE(next(queue, &event) == 1 && event.type == KEVENT_AIO && event.ptr == &control);
  REQUIRE(aio_error(&control) == 0 && aio_return(&control) == sizeof written);
  REQUIRE(aio_fsync(O_SYNC, &control) == 0);
  REQUIRE(next(queue, &event) == 1 && event.ptr == &control && aio_return(&control) == 0);
  control.aio_buf = read;
  REQUIRE(aio_read(&control) == 0);
  REQUIRE(next(queue, &event) == 1 && event.ptr == &control);
  REQUIRE(aio_return(&control) == sizeof read && strcmp(read, written) == 0);

  struct aiocb *list[] = {&control};
  struct sigevent of_list;
  kevent_sigevent(&of_list, queue, list);
  control.aio_lio_opcode = LIO_READ;
  control.aio_sigevent.sigev_notify = SIGEV_NONE;
  REQUIRE(lio_listio(LIO_NOWAIT, list, 1, &of_list) == 0);
  REQUIRE(next(queue, &event) == 1 && event.type == KEVENT_LIO && event.ptr == list);

  int ends[2];
  REQUIRE(pipe(ends) == 0);
  struct aiocb of_pipe = {.aio_fildes = ends[0], .aio_buf = read, .aio_nbytes = 1};
  kevent_sigevent(&of_pipe.aio_sigevent, queue, &of_pipe);
  REQUIRE(aio_read(&of_pipe) == 0);
  const struct aiocb *const waited_for[] = {&of_pipe};
  const struct timespec moment = {.tv_nsec = 1};
  REQUIRE(aio_suspend(waited_for, 1, &moment) == -1 && errno == EAGAIN);
  const int cancelled = aio_cancel(ends[0], &of_pipe);
  REQUIRE(cancelled == AIO_CANCELED || cancelled == AIO_NOTCANCELED);
  REQUIRE(write(ends[1], "w", 1) == 1);
  REQUIRE(next(queue, &event) == 1 && event.ptr == &of_pipe);
  const int error = aio_error(&of_pipe);
  REQUIRE(error == ECANCELED || (error == 0 && cancelled == AIO_NOTCANCELED));
  REQUIRE(close(ends[0]) == 0 && close(ends[1]) == 0 && close(file) == 0);
  return NULL;
}

static const char *use_look_up(int queue) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
  struct gaicb request = {.ar_name = "127.0.0.1", .ar_request = &hints};
  struct gaicb *list[] = {&request};
  struct sigevent sigev;
  kevent_sigevent(&sigev, queue, &request);
  REQUIRE(getaddrinfo_a(GAI_NOWAIT, list, 1, &sigev) == 0);
  struct ukevent event;
  REQUIRE(next(queue, &event) == 1 && event.type == KEVENT_GAI && event.ptr == &request);
  REQUIRE(gai_error(&request) == 0);
  freeaddrinfo(request.ar_result);
  return NULL;
}

/* By names of libkevent's own. */
static const char *copy_and_close(int queue) {
  int copies[4] = {kevent_dup(queue), kevent_fcntl(queue, F_DUPFD, 100),
                   kevent_fcntl(queue, F_DUPFD_CLOEXEC, 100), -1};
  REQUIRE(copies[0] >= 0 && copies[1] >= 100 && copies[2] >= 100);
  copies[3] = kevent_dup2(queue, copies[0]);
  REQUIRE(copies[3] == copies[0]);
  copies[3] = kevent_dup3(queue, copies[2] + 1, O_CLOEXEC);
  REQUIRE(copies[3] == copies[2] + 1);
  for (int i = 0; i < 4; i++) REQUIRE(collects_nothing(copies[i]) == 0);
  REQUIRE(kevent_fcntl(copies[2], F_GETFD) == FD_CLOEXEC);
  REQUIRE(kevent_fcntl(copies[1], F_SETFD, FD_CLOEXEC) == 0);
  REQUIRE(kevent_fcntl(copies[1], F_GETFD) == FD_CLOEXEC);
  REQUIRE(kevent_close(copies[0]) == 0);
  REQUIRE(kevent_close_range((unsigned)copies[1], (unsigned)copies[1], 0) == 0);
  REQUIRE(kevent_close_range((unsigned)copies[2], (unsigned)copies[3], 0) == 0);
  for (int i = 0; i < 4; i++) REQUIRE(collects_nothing(copies[i]) == -1 && errno == EBADF);
  REQUIRE(collects_nothing(queue) == 0);

  const int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(own >= 0 && kevent_close(own) == 0 && kevent_close(own) == -1 && errno == EBADF);
  return NULL;
}

/* Threads of the library have a descriptor open, which tells their table from others, also after
 * the last queue.  They leave when they have had nothing to do for a second, and so do the C
 * library's; the programs of these tests have one thread. */
static int other_threads_have_left(void) {
  const struct timespec look = {0, 10000000};
  for (int i = 0; i < 3000 && entries("/proc/self/task") != 1; i++) nanosleep(&look, NULL);
  return entries("/proc/self/task") == 1;
}

/* By the name of POSIX, which is the C library's in a program that does not know
 * of libkevent: then it is noticed when the number is used. */
static const char *close_unseen(void) {
  REQUIRE(other_threads_have_left());
  const int before = open_descriptors();
  struct sigevent sigev;
  timer_t timer;
  struct ukevent event = {.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT};

  int queue = kevent_init(NULL, 0, 0);
  REQUIRE(queue >= 0 && close(queue) == 0);
  REQUIRE(collects_nothing(queue) == -1 && errno == EBADF);
  REQUIRE(open_descriptors() == before);

  queue = kevent_init(NULL, 0, 0);
  REQUIRE(queue >= 0 && close(queue) == 0);
  REQUIRE(open("/dev/null", O_RDONLY | O_CLOEXEC) == queue);
  kevent_sigevent(&sigev, queue, NULL);
  REQUIRE(timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1 && errno == EINVAL);
  REQUIRE(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &event) == -1 && errno == EINVAL);
  REQUIRE(close(queue) == 0);
  REQUIRE(open_descriptors() == before);

  /* Its number is given to another queue before anybody could notice. */
  queue = kevent_init(NULL, 0, 0);
  REQUIRE(queue >= 0 && close(queue) == 0);
  REQUIRE(kevent_init(NULL, 0, 0) == queue);
  REQUIRE(collects_nothing(queue) == 0);
  /* A queue that was closed cannot be put into it. */
  const int other = kevent_init(NULL, 0, 0);
  REQUIRE(other >= 0 && close(other) == 0);
  REQUIRE(open("/dev/null", O_RDONLY | O_CLOEXEC) == other);
  event = (struct ukevent){.type = KEVENT_KEVENT, .event = KEVENT_KEVENT_READY};
  event.id.raw[0] = (uint32_t)other;
  REQUIRE(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &event) == 1);
  REQUIRE(event.ret_data[1] == (uint32_t)-EINVAL);
  REQUIRE(close(other) == 0 && kevent_close(queue) == 0);
  REQUIRE(open_descriptors() == before);
  return NULL;
}

static int is_libkevents_close(void *address) {
  int (*own)(int) = kevent_close;
  return memcmp(&address, &own, sizeof own) == 0;
}

/* BUGS of kevent(7), "Names found elsewhere": the program's close is libkevent's,
 * and this library's is the C library's, as RTLD_DEEPBIND can have it. */
static int closes_behind_the_back(void) {
  return is_libkevents_close(dlsym(dlopen(NULL, RTLD_LAZY), "close")) &&
         !is_libkevents_close(dlsym(RTLD_DEFAULT, "close"));
}

int NAME(finds_libkevent_first)(void) {
  void *address = dlsym(RTLD_DEFAULT, "timer_create");
  int (*own)(clockid_t, struct sigevent *, timer_t *) = kevent_timer_create;
  return memcmp(&address, &own, sizeof own) == 0;
}

int NAME(make_queue)(void) { return kevent_init(NULL, 0, 0); }

const char *NAME(use)(int queue) {
  const char *failure = use_timers(queue);
  if (failure == NULL) failure = use_message_queue(queue);
  if (failure == NULL) failure = use_asynchronous_io(queue);
  if (failure == NULL) failure = use_look_up(queue);
  if (failure == NULL) failure = copy_and_close(queue);
  if (failure == NULL && !closes_behind_the_back()) failure = close_unseen();
  if (failure == NULL && kevent_close(queue) != 0) failure = "kevent_close";
  return failure == NULL ? "works" : failure;
}
