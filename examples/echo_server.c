/* SPDX-License-Identifier: MIT */
/*
 * An echo server with idle timeouts: one queue has sockets, a timer for each
 * connection, SIGTERM and a user event, and one kevent_get_events collects them.
 *
 *     cc echo_server.c -lkevent
 *     ./echo_server --port 7007 --idle 10000
 *
 * A connection is two kevents with the same cookie: its socket, and a timer that
 * is set again whenever data were received or sent.  Data that cannot be sent at
 * once are kept, and until they are gone the connection waits for room to send and
 * receives nothing.  At SIGUSR1, whose handler makes the user event ready, the server
 * prints its counts.  SIGTERM and SIGINT end it.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <kevent/kevent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { batch = 256, buffer_size = 64 * 1024 };

struct connection {
  int fd;
  bool active; /* it was active in this batch: its timer is to be set again */
  bool closed; /* it is freed after the batch, which may hold another event of it */
  char *unsent;
  size_t unsent_size;
  struct connection *next; /* the next of the active or of the closed connections */
};

static int kev_fd;
static int listener;
static int reserve; /* a descriptor to close when no other is left */
static long idle_ms = 10000;
static struct connection *active;
static struct connection *closed;
static uint64_t connections, bytes, timed_out, open_connections;
static uint32_t latest_ns;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* ---- Requests -------------------------------------------------------------- */

static struct ukevent socket_request(struct connection *connection) {
  return (struct ukevent){
      .id.raw = {(unsigned)connection->fd, 0},
      .type = KEVENT_SOCKET,
      .event = connection->unsent == NULL ? KEVENT_SOCKET_RECV : KEVENT_SOCKET_SEND,
      .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
      .ptr = connection,
  };
}

/* All timers have the same setting, which kevent_ctl reads during the call. */
static struct ukevent timer_request(struct connection *connection) {
  static struct kevent_timer_spec spec;
  const struct kevent_timer_spec *address = &spec;
  struct ukevent request = {
      .type = KEVENT_TIMER,
      .event = KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC,
      .ptr = connection,
  };
  spec.clockid = CLOCK_MONOTONIC;
  spec.itimerspec.it_value.tv_sec = idle_ms / 1000;
  spec.itimerspec.it_value.tv_nsec = idle_ms % 1000 * 1000000;
  memcpy(request.ret_data, &address, sizeof request.ret_data);
  return request;
}

/* Registers a kevent that stays: the listener, a signal, the user event. */
static void add(struct ukevent request) {
  int refused = kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &request);
  if (refused > 0) errno = -(int)request.ret_data[1];
  if (refused != 0) die("kevent_ctl");
}

/* ---- Connections ------------------------------------------------------------- */

static void be_active(struct connection *connection) {
  if (connection->active) return;
  connection->active = true;
  connection->next = active;
  active = connection;
}

/* kevent_ctl marks the entry of a kevent that is not registered as broken, which does no harm. */
static void unregister(struct connection *connection) {
  struct ukevent requests[] = {socket_request(connection), timer_request(connection)};
  if (kevent_ctl(kev_fd, KEVENT_CTL_REMOVE, 2, requests) == -1) die("kevent_ctl");
}

/* Returns false when one of the two kevents cannot be registered; then neither is. */
static bool register_connection(struct connection *connection) {
  struct ukevent requests[] = {socket_request(connection), timer_request(connection)};
  if (kevent_ctl(kev_fd, KEVENT_CTL_ADD, 2, requests) == 0) return true;
  /* One of the two may be registered. */
  unregister(connection);
  return false;
}

static void open_connection(int fd) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (connection != NULL) connection->fd = fd;
  if (connection == NULL || !register_connection(connection)) {
    fprintf(stderr, "echo_server: a connection is refused: no memory\n");
    free(connection);
    close(fd);
    return;
  }
  connections++;
  open_connections++;
}

/* Removes the kevents before it closes the descriptor. */
static void close_connection(struct connection *connection) {
  unregister(connection);
  close(connection->fd);
  connection->closed = true;
  open_connections--;
  if (connection->active) return; /* is in a list already */
  connection->next = closed;
  closed = connection;
}

static void change_interest(struct connection *connection) {
  struct ukevent request = socket_request(connection);
  if (kevent_ctl(kev_fd, KEVENT_CTL_MODIFY, 1, &request) == -1) die("kevent_ctl");
}

/* Sends as much as it can.  Returns the number of bytes, or -1 when the connection is gone. */
static ssize_t send_some(int fd, const char *data, size_t size) {
  size_t sent = 0;
  while (sent < size) {
    ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
    if (n == -1 && errno == EINTR) continue;
    if (n == -1) return errno == EAGAIN ? (ssize_t)sent : -1;
    sent += (size_t)n;
  }
  return (ssize_t)sent;
}

static void receive(struct connection *connection) {
  static char buffer[buffer_size];
  ssize_t n = recv(connection->fd, buffer, sizeof buffer, 0);
  if (n == -1 && (errno == EAGAIN || errno == EINTR)) return;
  ssize_t sent = n <= 0 ? -1 : send_some(connection->fd, buffer, (size_t)n);
  if (sent == -1) {
    close_connection(connection);
    return;
  }
  bytes += (uint64_t)n;
  be_active(connection);
  if (sent == n) return;
  connection->unsent_size = (size_t)(n - sent);
  connection->unsent = malloc(connection->unsent_size);
  if (connection->unsent == NULL) {
    close_connection(connection);
    return;
  }
  memcpy(connection->unsent, buffer + sent, connection->unsent_size);
  change_interest(connection);
}

/* True if data wait that were not received yet: a busy server comes late to them. */
static bool has_sent(const struct connection *connection) {
  char byte;
  return recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void send_rest(struct connection *connection) {
  ssize_t sent = send_some(connection->fd, connection->unsent, connection->unsent_size);
  if (sent == -1) {
    close_connection(connection);
    return;
  }
  if (sent > 0) be_active(connection);
  connection->unsent_size -= (size_t)sent;
  memmove(connection->unsent, connection->unsent + sent, connection->unsent_size);
  if (connection->unsent_size != 0) return;
  free(connection->unsent);
  connection->unsent = NULL;
  change_interest(connection);
}

static void accept_all(void) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd != -1) {
      open_connection(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      /* A connection that is left waiting would make the listener ready for ever. */
      fprintf(stderr, "echo_server: a connection is refused: no descriptors\n");
      close(reserve);
      close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
      reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return; /* EAGAIN: no connection waits */
    }
  }
}

/* ---- The loop ------------------------------------------------------------------ */

static void say_statistics(void) {
  printf("connections %" PRIu64 " (%" PRIu64 " open), bytes %" PRIu64 ", timed out %" PRIu64
         ", latest idle timeout %" PRIu32 " us\n",
         connections, open_connections, bytes, timed_out, latest_ns / 1000);
  fflush(stdout);
}

/* With this command kevent_ctl is async-signal-safe. */
static void on_usr1(int signal_number) {
  struct ukevent event = {.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT};
  (void)signal_number;
  kevent_ctl(kev_fd, KEVENT_CTL_READY, 1, &event);
}

/* Returns false when the server is to end. */
static bool serve(const struct ukevent *event) {
  struct connection *connection = event->ptr;
  switch (event->type) {
    case KEVENT_SIGNAL:
      return false;
    case KEVENT_UNOTIFY:
      say_statistics();
      return true;
    case KEVENT_TIMER:
      /* A connection that was active in this batch, or has sent data since, is not idle. */
      if (connection->closed || connection->active) return true;
      if (has_sent(connection)) {
        be_active(connection);
        return true;
      }
      timed_out++;
      if (event->ret_data[1] > latest_ns) latest_ns = event->ret_data[1];
      close_connection(connection);
      return true;
    default:
      if (connection == NULL) {
        accept_all();
      } else if (!connection->closed) {
        if (connection->unsent != NULL) {
          send_rest(connection);
        } else {
          receive(connection);
        }
        if (!connection->closed && (event->ret_flags & KEVENT_RET_BROKEN)) {
          close_connection(connection);
        }
      }
      return true;
  }
}

/* Sets the timers of the connections that were active again, in one call. */
static void end_batch(void) {
  struct ukevent requests[batch];
  unsigned count = 0;
  while (active != NULL) {
    struct connection *connection = active;
    active = connection->next;
    connection->active = false;
    if (connection->closed) {
      connection->next = closed;
      closed = connection;
    } else {
      requests[count++] = timer_request(connection);
    }
  }
  if (count != 0 && kevent_ctl(kev_fd, KEVENT_CTL_MODIFY, count, requests) == -1) {
    die("kevent_ctl");
  }
  while (closed != NULL) {
    struct connection *connection = closed;
    closed = connection->next;
    free(connection->unsent);
    free(connection);
  }
}

static void loop(void) {
  for (bool going_on = true; going_on;) {
    struct ukevent events[batch];
    int n = kevent_get_events(kev_fd, 1, batch, NULL, events, 0);
    if (n == -1 && errno != EINTR) die("kevent_get_events");
    for (int i = 0; i < n; i++) going_on = serve(&events[i]) && going_on;
    end_batch();
  }
}

/* ---- Starting --------------------------------------------------------------------- */

static void listen_on(unsigned port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t size = sizeof address;
  int on = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener == -1) die("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, size) == -1) die("bind");
  if (listen(listener, 4096) == -1) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("listening on %u\n", ntohs(address.sin_port));
  fflush(stdout);
}

static void register_the_rest(void) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  add((struct ukevent){.id.raw_u64 = SIGTERM, .type = KEVENT_SIGNAL, .event = 1});
  add((struct ukevent){.id.raw_u64 = SIGINT, .type = KEVENT_SIGNAL, .event = 1});
  add((struct ukevent){.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT});
  add((struct ukevent){
      .id.raw = {(unsigned)listener, 0},
      .type = KEVENT_SOCKET,
      .event = KEVENT_SOCKET_ACCEPT,
      .req_flags = KEVENT_REQ_ALWAYS_QUEUE,
  });
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_usr1;
  sigaction(SIGUSR1, &action, NULL);
}

static void usage(void) {
  printf(
      "usage: echo_server [--port N] [--idle N]\n"
      "\n"
      "Sends back what it receives on 127.0.0.1, and closes connections that are idle.  Prints\n"
      "the port at first, how it does at SIGUSR1, and ends at SIGTERM or SIGINT.\n"
      "\n"
      "  --port N   the port; 0 leaves the choice to the system (default: 0)\n"
      "  --idle N   milliseconds after which an idle connection is closed (default: 10000)\n"
      "  --help     print this and exit\n");
}

static int misused(void) {
  fprintf(stderr, "Try 'echo_server --help'.\n");
  return 2;
}

static long number(const char *text, long low, long high) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end != text && *end == '\0' && value >= low && value <= high) return value;
  fprintf(stderr, "echo_server: %s is no number from %ld to %ld\n", text, low, high);
  exit(misused());
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"port", required_argument, NULL, 'p'},
      {"idle", required_argument, NULL, 'i'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  long port = 0;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    switch (option) {
      case 'p':
        port = number(optarg, 0, 65535);
        break;
      case 'i':
        idle_ms = number(optarg, 1, 86400000);
        break;
      case 'h':
        usage();
        return 0;
      default: /* getopt_long has said which */
        return misused();
    }
  }
  if (optind < argc) {
    fprintf(stderr, "echo_server: surplus argument '%s'\n", argv[optind]);
    return misused();
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
  listen_on((unsigned)port);
  register_the_rest();
  loop();
  say_statistics();
  return 0;
}
