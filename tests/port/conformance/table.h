/* SPDX-License-Identifier: MIT */
/*
 * The table that each program of this folder prints: a rule of the illumos manual a line, and what
 * has happened.  What is to happen stands in the .txt of the same name.  The programs know <port.h>
 * alone, and would be the same on illumos.
 */
#ifndef KEVENT_TESTS_PORT_CONFORMANCE_TABLE_H_
#define KEVENT_TESTS_PORT_CONFORMANCE_TABLE_H_

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <port.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(condition)                                                 \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "line %d: %s (%d)\n", __LINE__, #condition, errno); \
      exit(EXIT_FAILURE);                                                 \
    }                                                                     \
  } while (0)

static int port;

static inline const char *source_name(int source) {
  static const char *const names[] = {"0", "AIO", "TIMER", "USER", "FD", "ALERT", "MQ", "FILE"};
  return source >= 0 && source <= PORT_SOURCE_FILE ? names[source] : "?";
}

static inline const char *error_name(int error) {
  switch (error) {
    case 0:
      return "0";
    case EBADF:
      return "EBADF";
    case EBADFD:
      return "EBADFD";
    case EBUSY:
      return "EBUSY";
    case EFAULT:
      return "EFAULT";
    case EINVAL:
      return "EINVAL";
    case ENOENT:
      return "ENOENT";
    case ETIME:
      return "ETIME";
    default:
      return strerror(error);
  }
}

static inline int outcome(int result) { return result == -1 ? errno : 0; }

/* A line for a call that has 0 or an error. */
static inline void call(const char *rule, int result) {
  printf("%-66s %s\n", rule, error_name(outcome(result)));
}

static inline void print_event(const port_event_t *event, uintptr_t object) {
  printf(" %s:%#x:%ld%s", source_name(event->portev_source), (unsigned)event->portev_events,
         (long)(uintptr_t)event->portev_user, event->portev_object == object ? "" : ":other");
}

/* A line for what a retrieval of up to max events brings that does not wait: source, events and
 * user of each, and "other" where the object is not that one. */
static inline void retrieved(const char *rule, uint_t wanted, uint_t max, uintptr_t object) {
  port_event_t events[16];
  timespec_t now = {0, 0};
  uint_t count = wanted;
  int error = outcome(port_getn(port, events, max, &count, &now));
  printf("%-66s %s nget=%u", rule, error_name(error), count);
  for (uint_t i = 0; i < count; i++) print_event(&events[i], object);
  printf("\n");
}

/* The same for one event that has to come. */
static inline void awaited(const char *rule, uintptr_t object) {
  port_event_t event;
  int error = outcome(port_get(port, &event, NULL));
  printf("%-66s %s", rule, error_name(error));
  if (error == 0) print_event(&event, object);
  printf("\n");
}

static inline void make_port(void) {
  port = port_create();
  EXPECT(port >= 0);
}

#endif /* KEVENT_TESTS_PORT_CONFORMANCE_TABLE_H_ */
