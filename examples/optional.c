/* SPDX-License-Identifier: MIT */
/*
 * One binary that runs with and without libkevent.
 *
 *     cc optional.c -o optional                     # not linked with -lkevent
 *     ./optional                                    # signals
 *     LD_PRELOAD=/path/to/libkevent.so ./optional   # the queue
 *
 * KEVENT_WEAK makes the library's functions weak references.  When
 * kevent_available() says that they are there, the timer completes into a
 * queue; otherwise into a signal that stays blocked and is fetched with
 * sigwaitinfo.  The rest of the program is the same for both.
 */
#define _POSIX_C_SOURCE 200809L
#define KEVENT_WEAK

#include <kevent/kevent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct completion {
  void *cookie;
  int overruns;
  long lateness; /* ns; -1: a signal does not tell */
};

static int my_cookie = 2006;
static int kev_fd = -1; /* -1: completions come as signals */
static sigset_t completion_signal;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* Decides how completions come, and fills *sigev accordingly. */
static void choose(struct sigevent *sigev) {
  if (kevent_available()) {
    printf("libkevent %s is here: completions come from a queue\n", kevent_version());
    kev_fd = kevent_init(NULL, 0, 0);
    if (kev_fd == -1) die("kevent_init");
    kevent_sigevent(sigev, kev_fd, &my_cookie);
  } else {
    printf("no libkevent: completions come as signals\n");
    sigemptyset(&completion_signal);
    sigaddset(&completion_signal, SIGRTMIN);
    if (sigprocmask(SIG_BLOCK, &completion_signal, NULL) == -1) die("sigprocmask");
    memset(sigev, 0, sizeof *sigev);
    sigev->sigev_notify = SIGEV_SIGNAL;
    sigev->sigev_signo = SIGRTMIN;
    sigev->sigev_value.sival_ptr = &my_cookie;
  }
}

/* Waits for the next completion. */
static struct completion next(void) {
  if (kev_fd != -1) {
    struct ukevent event;
    if (kevent_get_events(kev_fd, 1, 1, NULL, &event, 0) != 1) die("kevent_get_events");
    return (struct completion){event.ptr, (int)event.ret_data[0], event.ret_data[1]};
  }
  siginfo_t info;
  if (sigwaitinfo(&completion_signal, &info) == -1) die("sigwaitinfo");
  return (struct completion){info.si_value.sival_ptr, info.si_overrun, -1};
}

int main(void) {
  struct sigevent sigev;
  choose(&sigev);

  timer_t timer;
  struct itimerspec its = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}};
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1) die("timer_create");
  if (timer_settime(timer, 0, &its, NULL) == -1) die("timer_settime");

  for (int i = 0; i < 4; i++) {
    if (i == 3) { /* miss some expirations; they come back as overruns */
      struct timespec five_periods = {0, 100000000};
      if (nanosleep(&five_periods, NULL) == -1) die("nanosleep");
    }
    struct completion completion = next();
    if (completion.cookie != &my_cookie) {
      fprintf(stderr, "this completion is not of our timer\n");
      return EXIT_FAILURE;
    }
    printf("  cookie %d, overruns %d", *(int *)completion.cookie, completion.overruns);
    if (completion.lateness >= 0) printf(", %ld us late", completion.lateness / 1000);
    putchar('\n');
  }

  if (timer_delete(timer) == -1) die("timer_delete");
  if (kev_fd != -1 && close(kev_fd) == -1) die("close");
  return EXIT_SUCCESS;
}
