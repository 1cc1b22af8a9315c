/* SPDX-License-Identifier: MIT */
/*
 * A kqueue of FreeBSD, over a queue: a periodic timer, standard input, and an event of the
 * program's own that another thread triggers.
 *
 *     { echo one; sleep 1; echo two; } | ./kqueue
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <unistd.h>

enum { tick = 1, worker_done = 2 };

static int kq;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *work(void *unused) {
  struct kevent done;
  (void)unused;
  EV_SET(&done, worker_done, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
  if (kevent(kq, &done, 1, NULL, 0, NULL) == -1) fail("kevent");
  return NULL;
}

/* Reads what there is; 0 at the end. */
static int take(const struct kevent *event) {
  char bytes[4096];
  const ssize_t size = read((int)event->ident, bytes, sizeof bytes);
  if (size == -1) fail("read");
  if (size != 0) printf("%zd bytes of %lld\n", size, (long long)event->data);
  return size != 0;
}

int main(void) {
  struct kevent changes[3], events[8];
  pthread_t worker;
  int goes_on = 1;

  kq = kqueue();
  if (kq == -1) fail("kqueue");
  EV_SET(&changes[0], tick, EVFILT_TIMER, EV_ADD, NOTE_MSECONDS, 100, NULL);
  EV_SET(&changes[1], STDIN_FILENO, EVFILT_READ, EV_ADD, 0, 0, NULL);
  EV_SET(&changes[2], worker_done, EVFILT_USER, EV_ADD | EV_ONESHOT, 0, 0, NULL);
  if (kevent(kq, changes, 3, NULL, 0, NULL) == -1) fail("kevent");
  if (pthread_create(&worker, NULL, work, NULL) != 0) fail("pthread_create");

  while (goes_on) {
    const int count = kevent(kq, NULL, 0, events, 8, NULL);
    if (count == -1 && errno != EINTR) fail("kevent");
    for (int i = 0; i < count; i++) {
      switch (events[i].filter) {
        case EVFILT_TIMER:
          printf("%lld ticks\n", (long long)events[i].data);
          break;
        case EVFILT_USER:
          printf("the other thread is done\n");
          break;
        default:
          goes_on = take(&events[i]);
      }
    }
  }
  pthread_join(worker, NULL);
  close(kq);
  return 0;
}
