/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of libkevent: message queues, asynchronous I/O
 * and look-ups of names with every other kind of notification.  It prints all
 * that it observes and nothing that differs between two runs.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNTOUCHED = 1234 };

static sem_t called;
static int called_with;
static sigset_t signals;

static void report(const char *what, long result) {
  const int error = errno;
  printf("%-40s %ld", what, result);
  if (result == -1) {
    printf(" %s", strerrorname_np(error));
  } else if (error != UNTOUCHED) {
    printf(" errno set to %s", strerrorname_np(error));
  }
  printf("\n");
}

#define REPORT(what, call) \
  do {                     \
    errno = UNTOUCHED;     \
    report(what, (call));  \
  } while (0)

/* Its thread lets all signals through, and may be there for a while yet. */
static void thread_function(union sigval value) {
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  called_with = value.sival_int;
  sem_post(&called);
}

static struct sigevent by_thread(int value) {
  struct sigevent sev;
  memset(&sev, 0, sizeof sev);
  sev.sigev_notify = SIGEV_THREAD;
  sev.sigev_notify_function = thread_function;
  sev.sigev_value.sival_int = value;
  return sev;
}

static struct sigevent by_signal(int value) {
  struct sigevent sev;
  memset(&sev, 0, sizeof sev);
  sev.sigev_notify = SIGEV_SIGNAL;
  sev.sigev_signo = SIGRTMIN + 1;
  sev.sigev_value.sival_int = value;
  return sev;
}

static struct sigevent by(int notify) {
  struct sigevent sev;
  memset(&sev, 0, sizeof sev);
  sev.sigev_notify = notify;
  return sev;
}

static void await_thread(void) {
  sem_wait(&called);
  printf("    a thread with %d\n", called_with);
}

static void await_signal(void) {
  siginfo_t info;
  const int number = sigwaitinfo(&signals, &info);
  printf("    signal SIGRTMIN+%d, code %d, value %d, by us: %d\n", number - SIGRTMIN, info.si_code,
         info.si_value.sival_int, info.si_pid == getpid());
}

static void expect_no_signal(void) {
  const struct timespec now = {0, 0};
  siginfo_t info;
  REPORT("    no other signal", sigtimedwait(&signals, &info, &now));
}

/* ---- Message queues ---- */

static void message_queues(void) {
  char name[64];
  char message[16];
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = sizeof message};
  snprintf(name, sizeof name, "/plain_completions.%d", (int)getpid());
  const mqd_t mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
  mq_unlink(name);
  struct sigevent sev = by_signal(5);
  REPORT("mq_notify, signal", mq_notify(mq, &sev));
  REPORT("mq_notify again", mq_notify(mq, &sev));
  REPORT("mq_send", mq_send(mq, "m", 1, 0));
  await_signal();
  REPORT("mq_receive", mq_receive(mq, message, sizeof message, NULL));
  sev = by_thread(6);
  REPORT("mq_notify, thread", mq_notify(mq, &sev));
  REPORT("mq_send", mq_send(mq, "m", 1, 0));
  await_thread();
  REPORT("mq_receive", mq_receive(mq, message, sizeof message, NULL));
  sev = by(SIGEV_NONE);
  REPORT("mq_notify, none", mq_notify(mq, &sev));
  REPORT("mq_notify, NULL", mq_notify(mq, NULL));
  sev = by(SIGEV_NONE | 8 | 64);
  REPORT("mq_notify, unknown", mq_notify(mq, &sev));
  REPORT("mq_notify, not open", mq_notify(-1, NULL));
  mq_close(mq);
}

/* ---- Asynchronous I/O ---- */

static void outcome(const char *what, struct aiocb *control) {
  const struct aiocb *list[] = {control};
  REPORT("    aio_suspend", aio_suspend(list, 1, NULL));
  REPORT("    aio_error", aio_error(control));
  REPORT(what, aio_return(control));
}

static void asynchronous_io(void) {
  char buffer[16] = "";
  FILE *file = tmpfile();
  int ends[2];
  if (file == NULL || pipe(ends) != 0) exit(EXIT_FAILURE);
  struct aiocb control = {.aio_fildes = fileno(file), .aio_buf = "0123456789", .aio_nbytes = 10};
  control.aio_sigevent = by_signal(7);
  REPORT("aio_write, signal", aio_write(&control));
  await_signal();
  outcome("    aio_return", &control);
  control.aio_sigevent = by_thread(8);
  REPORT("aio_fsync, thread", aio_fsync(O_SYNC, &control));
  await_thread();
  outcome("    aio_return", &control);
  control.aio_buf = buffer;
  control.aio_offset = 3;
  control.aio_nbytes = 4;
  control.aio_sigevent = by(SIGEV_NONE);
  REPORT("aio_read, none", aio_read(&control));
  outcome("    aio_return", &control);
  printf("    %s\n", buffer);
  control.aio_sigevent = by(SIGEV_NONE | 8 | 64);
  REPORT("aio_read, unknown", aio_read(&control));
  outcome("    aio_return", &control);
  control.aio_sigevent = by(SIGEV_NONE);
  control.aio_fildes = ends[0];
  control.aio_nbytes = 1;
  const struct timespec now = {0, 0};
  const struct aiocb *list[] = {NULL, &control};
  REPORT("aio_read, empty pipe", aio_read(&control));
  REPORT("    aio_error", aio_error(&control));
  REPORT("    aio_suspend at once", aio_suspend(list, 2, &now));
  REPORT("    write", write(ends[1], "x", 1));
  outcome("    aio_return", &control);
  REPORT("aio_cancel, done", aio_cancel(ends[0], &control));
  REPORT("aio_cancel, all", aio_cancel(ends[0], NULL));
  REPORT("aio_cancel, not open", aio_cancel(-1, NULL));
  control.aio_reqprio = -1;
  REPORT("aio_read, bad priority", aio_read(&control));
  control.aio_reqprio = 0;

  control.aio_fildes = fileno(file);
  control.aio_lio_opcode = LIO_READ;
  struct aiocb *entries[] = {&control, NULL};
  struct sigevent sev = by_signal(9);
  REPORT("lio_listio, wait", lio_listio(LIO_WAIT, entries, 2, &sev));
  expect_no_signal();
  REPORT("lio_listio, signal", lio_listio(LIO_NOWAIT, entries, 2, &sev));
  await_signal();
  sev = by_thread(10);
  REPORT("lio_listio, thread", lio_listio(LIO_NOWAIT, entries, 2, &sev));
  await_thread();
  REPORT("lio_listio, empty", lio_listio(LIO_NOWAIT, entries, 0, NULL));
  REPORT("lio_listio, bad mode", lio_listio(99, entries, 2, NULL));
  fclose(file);
}

/* What is wrong besides is not looked at, a NULL list least of all: which the
 * sanitizer would complain of here. */
__attribute__((no_sanitize("undefined"))) static void bad_arguments(void) {
  struct aiocb *const *volatile no_list = NULL;
  struct aiocb *volatile no_control = NULL;
  REPORT("lio_listio, bad mode, no list", lio_listio(99, (struct aiocb *const *)no_list, 3, NULL));
  REPORT("aio_fsync, bad operation", aio_fsync(17, no_control));
  REPORT("aio_cancel, not open", aio_cancel(-1, (struct aiocb *)8));
}

/* ---- Names ---- */

static void names(void) {
  struct gaicb request = {.ar_name = "127.0.0.1"};
  struct gaicb *list[] = {&request};
  struct sigevent sev = by_signal(11);
  REPORT("getaddrinfo_a, wait", getaddrinfo_a(GAI_WAIT, list, 1, &sev));
  REPORT("    gai_error", gai_error(&request));
  freeaddrinfo(request.ar_result);
  REPORT("getaddrinfo_a, signal", getaddrinfo_a(GAI_NOWAIT, list, 1, &sev));
  await_signal();
  REPORT("    gai_error", gai_error(&request));
  freeaddrinfo(request.ar_result);
  sev = by_thread(12);
  REPORT("getaddrinfo_a, thread", getaddrinfo_a(GAI_NOWAIT, list, 1, &sev));
  await_thread();
  freeaddrinfo(request.ar_result);
  REPORT("getaddrinfo_a, bad mode", getaddrinfo_a(99, list, 1, NULL));
}

int main(void) {
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  sem_init(&called, 0, 0);
  message_queues();
  asynchronous_io();
  bad_arguments();
  names();
  return EXIT_SUCCESS;
}
