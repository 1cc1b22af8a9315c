/* SPDX-License-Identifier: MIT */
/*
 * <port.h>: an event port, as programs for illumos and Solaris use one.
 *
 *     cc event_port.c $(pkg-config --cflags --libs kevent-port) -pthread
 *
 * A timer ticks, a thread writes lines into a pipe and sends an event of its own when it has no
 * more, and one loop serves all three.  The pipe is associated again after each line: an
 * association is over with its event.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <port.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { lines = 3, finished = 0x1234 };

static int port;
static int ends[2];

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void *write_lines(void *unused) {
  for (int i = 1; i <= lines; i++) {
    usleep(30000);
    if (dprintf(ends[1], "line %d\n", i) < 0) die("write");
  }
  usleep(30000);
  if (port_send(port, finished, unused) == -1) die("port_send");
  return NULL;
}

static void read_line(void) {
  char text[64];
  ssize_t size = read(ends[0], text, sizeof text - 1);
  if (size <= 0) die("read");
  text[size] = '\0';
  printf("read %s", text);
  if (port_associate(port, PORT_SOURCE_FD, (uintptr_t)ends[0], POLLIN, NULL) == -1) {
    die("port_associate");
  }
}

int main(void) {
  port = port_create();
  if (port == -1 || pipe(ends) == -1 ||
      port_associate(port, PORT_SOURCE_FD, (uintptr_t)ends[0], POLLIN, NULL) == -1) {
    die("port");
  }

  port_notify_t notify = {.portnfy_port = port};
  struct sigevent sigev;
  memset(&sigev, 0, sizeof sigev);
  sigev.sigev_notify = SIGEV_PORT;
  sigev.sigev_value.sival_ptr = &notify;
  struct itimerspec every_20_ms = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}};
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &sigev, &timer) == -1 ||
      timer_settime(timer, 0, &every_20_ms, NULL) == -1) {
    die("timer");
  }

  pthread_t thread;
  if (pthread_create(&thread, NULL, write_lines, NULL) != 0) die("pthread_create");

  int ticks = 0;
  for (int is_finished = 0; !is_finished;) {
    port_event_t events[8];
    uint_t count = 1;
    if (port_getn(port, events, 8, &count, NULL) == -1 && errno != EINTR) die("port_getn");
    for (uint_t i = 0; i < count; i++) {
      switch (events[i].portev_source) {
        case PORT_SOURCE_FD:
          read_line();
          break;
        case PORT_SOURCE_TIMER:
          ticks += events[i].portev_events;
          break;
        case PORT_SOURCE_USER:
          is_finished = events[i].portev_events == finished;
          break;
      }
    }
  }
  printf("%d ticks or more\n", ticks < 3 ? ticks : 3);
  pthread_join(thread, NULL);
  timer_delete(timer);
  close(port);
  return 0;
}
