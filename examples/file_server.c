/* SPDX-License-Identifier: MIT */
/*
 * A static file server: HTTP/1.1 on one queue, by one thread and one loop.
 *
 *     cc file_server.c -lkevent
 *     ./file_server --port 8080 /srv/www
 *
 * The listener is a KEVENT_SOCKET.  Whatever a connection waits for is a transfer
 * (KEVENT_NAIO) whose cookie is the connection: the receipt of a request, the head of an
 * answer, a piece of a file.  It has one in flight at any time, so it ends where the last of
 * them is collected, and nothing is closed or freed that the library still uses.  A POSIX
 * timer cancels the transfers of a connection that is idle, and a signal those of all.
 *
 * It serves regular files.  Names that begin with a dot are not served, which
 * leaves out "..", and a symbolic link is followed if it leads to a file of the tree
 * (realpath): whoever may write to the tree while it is served is trusted.
 */
#define _GNU_SOURCE

#include <aio.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <kevent/kevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A client that takes less than a piece of a file in the idle time is taken to be idle. */
enum { batch = 256, largest_request = 4096, piece = 256 * 1024, spare_descriptors = 64 };

struct connection {
  int fd;
  timer_t timer;
  unsigned in_flight; /* transfers that have not been collected */
  bool broken;        /* one of them has failed, or the client has ended */
  bool ends;          /* with this answer */
  char *path;         /* of the file that is sent */
  off_t offset, size; /* what was sent of it, and its bytes */
  size_t received;    /* bytes of requests that have not been answered */
  char request[largest_request + 1];
  char head[256];
  LIST_ENTRY(connection) others;
};

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static int kev_fd, listener;
static char *root; /* no slash at its end */
static struct itimerspec idle;
static rlim_t most_connections, open_connections;
static uint64_t accepted, requests, bytes, timed_out, in_flight;
static bool stopping;

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void control(unsigned command, struct ukevent request) {
  int refused = kevent_ctl(kev_fd, command, 1, &request);
  if (refused > 0) errno = -(int)request.ret_data[1];
  if (refused != 0) die("kevent_ctl");
}

/* With an event of 0 the listener pauses. */
static struct ukevent acceptance(unsigned event) {
  return (struct ukevent){.id.raw = {(unsigned)listener, 0},
                          .type = KEVENT_SOCKET,
                          .event = event,
                          .req_flags = KEVENT_REQ_ALWAYS_QUEUE};
}

/* ---- Transfers --------------------------------------------------------------- */

static void close_connection(struct connection *connection) {
  LIST_REMOVE(connection, others);
  timer_delete(connection->timer);
  close(connection->fd);
  free(connection->path);
  free(connection);
  if (open_connections-- == most_connections && !stopping) {
    control(KEVENT_CTL_MODIFY, acceptance(KEVENT_SOCKET_ACCEPT));
  }
}

/* The connection may be gone afterwards. */
static void begin(struct connection *connection, unsigned num, struct kevent_transfer *transfers) {
  for (unsigned i = 0; i < num; i++) {
    transfers[i].socket = connection->fd;
    transfers[i].cookie = connection;
  }
  if (kevent_transfers(kev_fd, num, transfers) == -1) die("kevent_transfers");
  for (unsigned i = 0; i < num; i++) {
    if (transfers[i].error == 0) {
      connection->in_flight++;
      in_flight++;
    } else {
      connection->broken = true;
    }
  }
  if (connection->in_flight == 0) close_connection(connection);
}

static void receive(struct connection *connection) {
  struct kevent_transfer receipt = {
      .operation = KEVENT_NAIO_RECV,
      .flags = KEVENT_NAIO_SOME,
      .buffer = connection->request + connection->received,
      .size = largest_request - connection->received,
  };
  begin(connection, 1, &receipt);
}

static struct kevent_transfer next_piece(const struct connection *connection) {
  off_t left = connection->size - connection->offset;
  return (struct kevent_transfer){
      .operation = KEVENT_NAIO_SENDFILE_PATH,
      .path = connection->path,
      .offset = connection->offset,
      .size = left < piece ? (size_t)left : piece,
  };
}

static void respond(struct connection *connection, const char *status) {
  char date[64];
  time_t now = time(NULL);
  strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime(&now));
  int length = snprintf(
      connection->head, sizeof connection->head,
      "HTTP/1.1 %s\r\nDate: %s\r\nContent-Length: %jd\r\n%sConnection: %s\r\n\r\n", status, date,
      (intmax_t)connection->size, strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "",
      connection->ends ? "close" : "keep-alive");
  bool has_body = connection->offset < connection->size;
  struct kevent_transfer answer[] = {
      {
          .operation = KEVENT_NAIO_SEND,
          .flags = has_body ? MSG_MORE : 0,
          .buffer = connection->head,
          .size = (size_t)length,
      },
      next_piece(connection),
  };
  requests++;
  timer_settime(connection->timer, 0, &idle, NULL);
  begin(connection, has_body ? 2 : 1, answer);
}

/* ---- Requests -------------------------------------------------------------------- */

/* Decodes %XX in place and leaves out the query; false if that is no path. */
static bool decode(char *path) {
  char *to = path;
  for (const char *from = path; *from != '\0' && *from != '?'; from++) {
    char hex[3] = "";
    *to = *from;
    if (*from == '%') {
      if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2])) return false;
      memcpy(hex, from + 1, 2);
      *to = (char)strtol(hex, NULL, 16);
      from += 2;
    }
    if (*to++ == '\0') return false;
  }
  *to = '\0';
  return *path == '/';
}

static bool is_in_tree(const char *path) {
  size_t length = strlen(root);
  return strncmp(path, root, length) == 0 && path[length] == '/';
}

static bool find_file(struct connection *connection, const char *path) {
  char *name;
  struct stat status;
  bool is_directory = path[strlen(path) - 1] == '/';
  if (strstr(path, "/.") != NULL) return false;
  if (asprintf(&name, "%s%s%s", root, path, is_directory ? "index.html" : "") == -1) return false;
  connection->path = realpath(name, NULL);
  free(name);
  if (connection->path == NULL || !is_in_tree(connection->path)) return false;
  if (stat(connection->path, &status) == -1 || !S_ISREG(status.st_mode)) return false;
  if (access(connection->path, R_OK) == -1) return false;
  connection->size = status.st_size;
  return true;
}

/* The value of a field; NULL if there is none. */
static const char *field(const char *lines, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(lines, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') continue;
    return line + length + 1 + strspn(line + length + 1, " \t");
  }
  return NULL;
}

/* Returns the status of the answer.  The next request is not looked for after one that is not
 * understood, or has a body. */
static const char *understand(struct connection *connection) {
  char *request = connection->request;
  char *target = strchr(request, ' ');
  char *version = target == NULL ? NULL : strchr(target + 1, ' ');
  connection->ends = true;
  if (version == NULL || strncmp(version, " HTTP/1.", 8) != 0) return "400 Bad Request";
  if (strncmp(version + 8, "0\r\n", 3) != 0 && strncmp(version + 8, "1\r\n", 3) != 0) {
    return "400 Bad Request";
  }
  *target++ = *version = '\0';
  const char *fields = version + 9;
  bool is_new = version[8] == '1';
  if (is_new && field(fields, "Host") == NULL) return "400 Bad Request";
  bool is_head = strcmp(request, "HEAD") == 0;
  if (!is_head && strcmp(request, "GET") != 0) return "405 Method Not Allowed";
  if (field(fields, "Content-Length") != NULL || field(fields, "Transfer-Encoding") != NULL) {
    return "400 Bad Request";
  }
  if (!decode(target)) return "400 Bad Request";
  const char *wish = field(fields, "Connection");
  connection->ends = !is_new || (wish != NULL && strncasecmp(wish, "close", 5) == 0);
  if (!find_file(connection, target)) return "404 Not Found";
  if (is_head) connection->offset = connection->size;
  return "200 OK";
}

/* `size` bytes of what was received are a request. */
static void answer(struct connection *connection, size_t size) {
  free(connection->path);
  connection->path = NULL;
  connection->offset = connection->size = 0;
  /* Ends before the empty line.  A byte of zero has it end earlier, and makes it no request. */
  connection->request[size - 2] = '\0';
  const char *status = understand(connection);
  connection->received -= size;
  memmove(connection->request, connection->request + size, connection->received);
  respond(connection, status);
}

/* ---- Events -------------------------------------------------------------------- */

/* Does what comes next when nothing is in flight. */
static void advance(struct connection *connection) {
  if (connection->offset < connection->size) {
    struct kevent_transfer rest = next_piece(connection);
    timer_settime(connection->timer, 0, &idle, NULL);
    begin(connection, 1, &rest);
    return;
  }
  if (connection->ends) {
    /* A close with unread data would take back what the client has not received. */
    shutdown(connection->fd, SHUT_WR);
    connection->received = 0;
    receive(connection);
    return;
  }
  const char *end = memmem(connection->request, connection->received, "\r\n\r\n", 4);
  if (end != NULL) {
    answer(connection, (size_t)(end + 4 - connection->request));
  } else if (connection->received == largest_request) {
    connection->ends = true;
    connection->offset = connection->size = 0;
    respond(connection, "431 Request Header Fields Too Large");
  } else {
    receive(connection);
  }
}

static void end_transfer(const struct ukevent *event) {
  struct connection *connection = event->ptr;
  uint32_t moved = event->ret_data[0];
  connection->in_flight--;
  in_flight--;
  if (event->event == KEVENT_NAIO_RECV) {
    connection->received += moved;
    if (moved == 0) connection->broken = true; /* the client has ended */
  } else {
    bytes += moved;
    if (moved < event->id.raw[1]) connection->broken = true; /* the file has become shorter */
    if (event->event == KEVENT_NAIO_SENDFILE_PATH) connection->offset += moved;
  }
  if (event->ret_data[1] != 0) connection->broken = true;
  if (connection->in_flight != 0) return;
  if (connection->broken || stopping) {
    close_connection(connection);
  } else {
    advance(connection);
  }
}

/* Its transfers come back with ECANCELED.  If they have ended already it is not idle. */
static void expire(const struct connection *connection) {
  if (kevent_cancel_transfers(kev_fd, connection->fd, NULL) != AIO_ALLDONE) timed_out++;
}

static void open_connection(int fd) {
  struct connection *connection = calloc(1, sizeof *connection);
  struct sigevent sigev = {
      .sigev_notify = SIGEV_KEVENT,
      .sigev_kevent_fd = kev_fd,
      .sigev_value.sival_ptr = connection,
  };
  if (connection == NULL || timer_create(CLOCK_MONOTONIC, &sigev, &connection->timer) == -1) {
    perror("file_server: a connection is refused");
    free(connection);
    close(fd);
    return;
  }
  connection->fd = fd;
  LIST_INSERT_HEAD(&connections, connection, others);
  accepted++;
  open_connections++;
  timer_settime(connection->timer, 0, &idle, NULL);
  receive(connection);
}

/* Files are sent without a copy by sockets that do not block. */
static void accept_all(void) {
  while (open_connections < most_connections) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd == -1) return; /* EAGAIN: no connection waits */
    open_connection(fd);
  }
  control(KEVENT_CTL_MODIFY, acceptance(0));
}

static void stop(void) {
  struct connection *connection;
  if (stopping) return;
  stopping = true;
  control(KEVENT_CTL_REMOVE, acceptance(0));
  close(listener);
  LIST_FOREACH(connection, &connections, others) {
    kevent_cancel_transfers(kev_fd, connection->fd, NULL);
  }
}

static void loop(void) {
  while (!stopping || open_connections > 0) {
    struct ukevent events[batch];
    int n = kevent_get_events(kev_fd, 1, batch, NULL, events, 0);
    if (n == -1 && errno != EINTR) die("kevent_get_events");
    /* Timers first: connections end with the transfers of this batch. */
    for (int i = 0; i < n; i++) {
      if (events[i].type == KEVENT_POSIX_TIMER) expire(events[i].ptr);
    }
    for (int i = 0; i < n; i++) {
      if (events[i].type == KEVENT_NAIO) end_transfer(&events[i]);
      if (events[i].type == KEVENT_SOCKET && !stopping) accept_all();
      if (events[i].type == KEVENT_SIGNAL) stop();
    }
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
  /* Accepted sockets inherit it.  MSG_MORE joins a head and what follows. */
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, size) == -1) die("bind");
  if (listen(listener, 4096) == -1) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("listening on %u\n", ntohs(address.sin_port));
  fflush(stdout);
}

/* A connection has a descriptor, and another while it sends a file. */
static void limit_connections(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == -1) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < spare_descriptors + 2) limit.rlim_cur = spare_descriptors + 2;
  most_connections = (limit.rlim_cur - spare_descriptors) / 2;
}

static void collect_signals(void) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  control(KEVENT_CTL_ADD,
          (struct ukevent){.id.raw_u64 = SIGTERM, .type = KEVENT_SIGNAL, .event = 1});
  control(KEVENT_CTL_ADD,
          (struct ukevent){.id.raw_u64 = SIGINT, .type = KEVENT_SIGNAL, .event = 1});
}

static void usage(void) {
  printf(
      "usage: file_server [--port N] [--idle N] DIRECTORY\n"
      "\n"
      "Serves the files of DIRECTORY by HTTP/1.1 (GET, HEAD) on 127.0.0.1, index.html for a name\n"
      "that ends with a slash.  Names that begin with a dot are not served, and symbolic links\n"
      "are followed within DIRECTORY.  Prints the port at first, and what it did at SIGTERM or\n"
      "SIGINT, which end it.\n"
      "\n"
      "  --port N   the port; 0 leaves the choice to the system (default: 0)\n"
      "  --idle N   milliseconds after which a connection is closed that has not sent a whole\n"
      "             request, or has not taken %d bytes of an answer (default: 10000)\n"
      "  --help     print this and exit\n",
      piece);
}

static int misused(void) {
  fprintf(stderr, "Try 'file_server --help'.\n");
  return 2;
}

static long number(const char *text, long low, long high) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end != text && *end == '\0' && value >= low && value <= high) return value;
  fprintf(stderr, "file_server: %s is no number from %ld to %ld\n", text, low, high);
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
  long idle_ms = 10000;
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
  if (argc - optind != 1) {
    fprintf(stderr, "file_server: one directory is to be named\n");
    return misused();
  }
  root = realpath(argv[optind], NULL);
  struct stat status;
  if (root == NULL || stat(root, &status) == -1) die(argv[optind]);
  if (!S_ISDIR(status.st_mode)) {
    errno = ENOTDIR;
    die(argv[optind]);
  }
  if (strcmp(root, "/") == 0) *root = '\0';
  /* Again and again, lest a connection be left that was not idle just then. */
  idle.it_value.tv_sec = idle_ms / 1000;
  idle.it_value.tv_nsec = idle_ms % 1000 * 1000000;
  idle.it_interval = idle.it_value;
  kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  limit_connections();
  collect_signals();
  listen_on((unsigned)port);
  control(KEVENT_CTL_ADD, acceptance(KEVENT_SOCKET_ACCEPT));
  loop();
  printf("connections %" PRIu64 ", requests %" PRIu64 ", bytes %" PRIu64 ", timed out %" PRIu64
         ", in flight %" PRIu64 "\n",
         accepted, requests, bytes, timed_out, in_flight);
  free(root);
  return 0;
}
