/* SPDX-License-Identifier: MIT */
/*
 * The queue descriptor in an epoll loop, beside another descriptor.
 *
 *     cc epoll_loop.c -lkevent
 *
 * Two timers complete into one queue.  The queue is readable whenever one of
 * them can be collected; the loop then drains it with min_nr 0, which never
 * sleeps, and writes a letter for each event into a pipe.  The other end of
 * the pipe is the second descriptor of the loop.  It ends after ten letters.
 */
#define _POSIX_C_SOURCE 200809L

#include <kevent/kevent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct ticker {
  char letter;
  long period_ms;
  timer_t timer;
};

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void start(int kev_fd, struct ticker *ticker) {
  struct sigevent sigev = {
      .sigev_notify = SIGEV_KEVENT,
      .sigev_kevent_fd = kev_fd,
      .sigev_value.sival_ptr = ticker,
  };
  struct itimerspec its = {
      .it_value = {0, ticker->period_ms * 1000000},
      .it_interval = {0, ticker->period_ms * 1000000},
  };
  if (timer_create(CLOCK_MONOTONIC, &sigev, &ticker->timer) == -1) die("timer_create");
  if (timer_settime(ticker->timer, 0, &its, NULL) == -1) die("timer_settime");
}

static void watch(int epoll_fd, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == -1) die("epoll_ctl");
}

/* Takes all events that can be collected.  A batch that is not full is the last
 * one.  An empty batch is no error: a queue may be readable once in vain, for
 * instance when another thread has collected meanwhile. */
static void drain(int kev_fd, int pipe_fd) {
  enum { max = 8 };
  struct ukevent events[max];
  int n;
  do {
    n = kevent_get_events(kev_fd, 0, max, NULL, events, 0);
    if (n == -1) die("kevent_get_events");
    for (int i = 0; i < n; i++) {
      const struct ticker *ticker = events[i].ptr;
      printf("  timer %c: overruns %u, lateness %.1f us\n", ticker->letter,
             (unsigned)events[i].ret_data[0], events[i].ret_data[1] / 1e3);
      if (write(pipe_fd, &ticker->letter, 1) != 1) die("write");
    }
  } while (n == max);
}

int main(void) {
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd == -1) die("epoll_create1");
  int pipe_fds[2];
  if (pipe(pipe_fds) == -1) die("pipe");
  watch(epoll_fd, kev_fd);
  watch(epoll_fd, pipe_fds[0]);

  struct pollfd queue = {.fd = kev_fd, .events = POLLIN};
  if (poll(&queue, 1, 0) != 0) {
    fprintf(stderr, "an empty queue should not be readable\n");
    return EXIT_FAILURE;
  }

  struct ticker tickers[] = {{.letter = 'a', .period_ms = 30}, {.letter = 'b', .period_ms = 70}};
  start(kev_fd, &tickers[0]);
  start(kev_fd, &tickers[1]);

  int letters = 0;
  while (letters < 10) {
    struct epoll_event ready[2];
    int n = epoll_wait(epoll_fd, ready, 2, 10000);
    if (n == -1) die("epoll_wait");
    if (n == 0) {
      fprintf(stderr, "nothing became readable within 10 s\n");
      return EXIT_FAILURE;
    }
    for (int i = 0; i < n; i++) {
      if (ready[i].data.fd == kev_fd) {
        printf("queue readable\n");
        drain(kev_fd, pipe_fds[1]);
      } else {
        char text[16];
        ssize_t length = read(pipe_fds[0], text, sizeof text);
        if (length <= 0) die("read");
        printf("pipe readable: %.*s\n", (int)length, text);
        letters += (int)length;
      }
    }
  }

  for (int i = 0; i < 2; i++) {
    if (timer_delete(tickers[i].timer) == -1) die("timer_delete");
  }
  close(kev_fd); /* the last close ends the queue, and epoll forgets it */
  close(epoll_fd);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  return EXIT_SUCCESS;
}
