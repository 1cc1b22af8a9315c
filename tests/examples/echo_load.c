/* SPDX-License-Identifier: MIT */
/*
 * A load for examples/echo_server.c, which it starts itself.
 *
 *     echo_load SERVER AT_A_TIME ALTOGETHER IDLE_MS
 *
 * Opens ALTOGETHER connections, AT_A_TIME at a time, each of which sends up to
 * three messages of random size and expects them back byte for byte; meanwhile,
 * and once more at the end, when there is nothing else, some connections stay
 * idle, and must be closed by the server, never before their time.  Then the
 * server must have as many descriptors as at first, and end by SIGTERM.  How late
 * the timeouts were is printed; it is a matter of the machine.
 *
 * Ends with 77, as a skipped test does, where a process may not have so many
 * descriptors.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { largest = 16 * 1024, idlers = 100 };

struct client {
  int fd;
  int messages;  /* still to be sent, this one included */
  unsigned seed; /* of the message's bytes */
  size_t size, sent, received;
  int64_t sending; /* since when the message is sent */
  int64_t since;   /* the same of what the server has answered, or when it was opened */
};

static struct sockaddr_in server;
static int epoll_fd;
static pid_t server_id;
static FILE *server_output;
static long idle_ms;
static struct client idle_clients[idlers];
static int idle_open;
static int closed_slow;   /* connections that were idle, though they should not have been */
static int idle_closed;   /* by the server */
static int64_t idle_late; /* at most, in nanoseconds */
static uint64_t random_state = 88172645463325252u;

static void fail(const char *what) {
  fprintf(stderr, "echo_load: FAILED: %s (errno %d)\n", what, errno);
  if (server_id > 0) kill(server_id, SIGKILL);
  exit(EXIT_FAILURE);
}

static unsigned below(unsigned limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)((random_state >> 32) * limit >> 32);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static char byte_at(const struct client *client, size_t i) {
  return (char)((client->seed + i) * 2654435761u >> 24);
}

/* ---- The server ---------------------------------------------------------------- */

static void start_server(char *path, char *idle) {
  int out[2];
  char line[64] = "";
  unsigned port = 0;
  if (pipe2(out, O_CLOEXEC) == -1) fail("pipe");
  server_id = fork();
  if (server_id == 0) {
    char *arguments[] = {path, "--idle", idle, NULL};
    dup2(out[1], STDOUT_FILENO);
    execv(path, arguments);
    _exit(127);
  }
  close(out[1]);
  server_output = fdopen(out[0], "r");
  if (fgets(line, sizeof line, server_output) == NULL ||
      sscanf(line, "listening on %u", &port) != 1) {
    fail("the server does not start");
  }
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int server_descriptors(void) {
  char path[64];
  int count = 0;
  snprintf(path, sizeof path, "/proc/%d/fd", server_id);
  DIR *directory = opendir(path);
  if (directory == NULL) fail("the server has ended");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static void show_server_descriptors(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", server_id);
  DIR *directory = opendir(path);
  if (directory == NULL) return;
  for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char target[128];
    ssize_t bytes = readlinkat(dirfd(directory), entry->d_name, target, sizeof target);
    if (bytes > 0) fprintf(stderr, "%s: %.*s\n", entry->d_name, (int)bytes, target);
  }
  closedir(directory);
}

static long server_pages(void) {
  char path[64];
  long size = 0;
  long resident = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", server_id);
  FILE *file = fopen(path, "re");
  if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2) fail(path);
  fclose(file);
  return resident;
}

/* ---- Clients ------------------------------------------------------------------- */

static void watch(struct client *client, int operation, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = client};
  if (epoll_ctl(epoll_fd, operation, client->fd, &event) == -1) fail("epoll_ctl");
}

static void open_client(struct client *client, int messages) {
  static unsigned count;
  /* From one address there are not ports enough. */
  struct sockaddr_in own = {.sin_family = AF_INET};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count++ % 50);
  int on = 1;
  memset(client, 0, sizeof *client);
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd == -1) fail("socket");
  setsockopt(client->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(client->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
  if (bind(client->fd, (struct sockaddr *)&own, sizeof own) == -1) fail("bind");
  /* Before the server hears of it, or it may seem to have been closed too soon. */
  client->since = now();
  if (connect(client->fd, (struct sockaddr *)&server, sizeof server) == -1) fail("connect");
  fcntl(client->fd, F_SETFL, O_NONBLOCK);
  client->messages = messages;
  watch(client, EPOLL_CTL_ADD, messages == 0 ? EPOLLIN : EPOLLOUT);
}

static void close_client(struct client *client) {
  close(client->fd);
  client->fd = -1;
}

static void next_message(struct client *client) {
  client->size = 1 + (below(8) == 0 ? below(largest) : below(512));
  client->seed = below(1u << 30);
  client->sent = client->received = 0;
}

/* The server has closed it: which it may have done only if it was idle, seen from here.  On a busy
 * machine a message may be on its way for any time, so one that is not answered does not count. */
static void begin_anew(struct client *client) {
  if (now() - client->since < idle_ms * INT64_C(1000000)) {
    fail("the server has closed a connection that is not idle");
  }
  int messages = client->messages;
  closed_slow++;
  close_client(client);
  open_client(client, messages);
}

static void send_some(struct client *client) {
  char message[largest];
  if (client->size == 0) next_message(client);
  if (client->sent == 0) client->sending = now();
  for (size_t i = client->sent; i < client->size; i++) message[i] = byte_at(client, i);
  ssize_t n = send(client->fd, message + client->sent, client->size - client->sent, MSG_NOSIGNAL);
  if (n == -1 && (errno == ECONNRESET || errno == EPIPE)) {
    begin_anew(client);
    return;
  }
  if (n == -1 && errno != EAGAIN) fail("send");
  if (n > 0) client->sent += (size_t)n;
  if (client->sent == client->size) watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

/* True when the connection has done all that it was to do. */
static bool receive_some(struct client *client) {
  char back[largest];
  ssize_t n = recv(client->fd, back, sizeof back, 0);
  if (n == -1 && errno == EAGAIN) return false;
  if (n <= 0) {
    begin_anew(client);
    return false;
  }
  client->since = client->sending;
  for (ssize_t i = 0; i < n; i++) {
    if (client->received == client->sent || back[i] != byte_at(client, client->received++)) {
      fail("what comes back is not what was sent");
    }
  }
  if (client->received < client->size) return false;
  if (--client->messages == 0) return true;
  client->size = 0;
  watch(client, EPOLL_CTL_MOD, EPOLLOUT);
  return false;
}

/* ---- The phases ------------------------------------------------------------------ */

static void open_idler(struct client *client) {
  open_client(client, 0);
  idle_open++;
}

/* The server has closed an idle connection. */
static void close_idler(struct client *client) {
  char byte;
  /* The server's timer begins after the connection does. */
  int64_t late = now() - client->since - idle_ms * INT64_C(1000000);
  if (recv(client->fd, &byte, 1, 0) != 0) fail("an idle connection hears something");
  if (late < 0) fail("an idle connection is closed before its time");
  if (late > idle_late) idle_late = late;
  close_client(client);
  idle_open--;
  idle_closed++;
}

static void open_idlers(void) {
  idle_closed = 0;
  idle_late = 0;
  for (int i = 0; i < idlers; i++) open_idler(&idle_clients[i]);
}

static void await_idlers(const char *when) {
  struct epoll_event events[idlers];
  while (idle_open > 0) {
    int n = epoll_wait(epoll_fd, events, idlers, (int)idle_ms + 20000);
    if (n <= 0) fail("an idle connection is not closed");
    for (int i = 0; i < n; i++) close_idler(events[i].data.ptr);
  }
  printf("%d idle connections %s: closed at most %ld us after their time, seen from here\n",
         idle_closed, when, (long)(idle_late / 1000));
}

static void talk(int at_a_time, int altogether) {
  struct client *clients = calloc((size_t)at_a_time, sizeof *clients);
  struct epoll_event events[256];
  int opened = 0;
  int done = 0;
  if (clients == NULL) fail("memory");
  for (; opened < at_a_time && opened < altogether; opened++) {
    open_client(&clients[opened], 1 + (int)below(3));
  }
  while (done < altogether) {
    int n = epoll_wait(epoll_fd, events, 256, 20000);
    if (n <= 0) fail("the server is silent");
    for (int i = 0; i < n; i++) {
      struct client *client = events[i].data.ptr;
      if (client->messages == 0) {
        close_idler(client);
        open_idler(client);
      } else if (events[i].events == EPOLLOUT) {
        send_some(client);
      } else if (receive_some(client)) {
        close_client(client);
        if (++done % 20000 == 0) fprintf(stderr, "%d connections\n", done);
        if (opened < altogether) {
          open_client(client, 1 + (int)below(3));
          opened++;
        }
      }
    }
  }
  free(clients);
}

/* A call that sleeps may have a descriptor of its own. */
static void await_sleep(void) {
  char path[64];
  char state = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)server_id);
  while (state != 'S') {
    FILE *stat = fopen(path, "r");
    if (stat == NULL || fscanf(stat, "%*d (%*[^)]) %c", &state) != 1) fail("the server's state");
    fclose(stat);
    if (state != 'S') usleep(1000);
  }
}

/* Closed connections are the server's to notice. */
static void await_descriptors(int count) {
  for (int i = 0; server_descriptors() > count; i++) {
    if (i == 10000) {
      fprintf(stderr, "echo_load: %d descriptors are to be open, not\n", count - 2);
      show_server_descriptors();
      fail("the server has descriptors left");
    }
    usleep(1000);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: echo_load SERVER AT_A_TIME ALTOGETHER IDLE_MS\n");
    return 2;
  }
  int at_a_time = atoi(argv[2]);
  int altogether = atoi(argv[3]);
  idle_ms = atol(argv[4]);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < (rlim_t)at_a_time + idlers + 64) {
    fprintf(stderr, "echo_load: skipped: a process may have %ld descriptors\n",
            (long)limit.rlim_cur);
    return 77;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);

  start_server(argv[1], argv[4]);
  /* The first kevents take descriptors that stay, and so do two timers at a time. */
  talk(4, 8);
  await_sleep();
  int descriptors = server_descriptors();
  open_idlers();
  talk(at_a_time, altogether / 2);
  await_idlers("beside the first half");
  await_descriptors(descriptors);
  /* Freed memory is kept for what comes next.  Chance may have more connections need it at one
   * time than ever before, but not again and again: a leak is there each time. */
  long more_pages;
  int times = 0;
  do {
    long pages = server_pages();
    open_idlers();
    talk(at_a_time, altogether - altogether / 2);
    await_idlers("beside the second half");
    await_descriptors(descriptors);
    more_pages = server_pages() - pages;
    times++;
  } while (more_pages > 256 && times < 10);
  open_idlers();
  await_idlers("alone");
  await_descriptors(descriptors);

  int status = 0;
  kill(server_id, SIGTERM);
  if (waitpid(server_id, &status, 0) != server_id || status != 0) fail("the server's end");
  char words[256];
  while (fgets(words, sizeof words, server_output) != NULL) printf("the server: %s", words);
  printf("%d connections, %d at a time: all echoes right\n", altogether, at_a_time);
  if (closed_slow != 0) printf("%d connections were idle for once, and made anew\n", closed_slow);
  printf("the second half took %ld pages more than what came before it, done %d times\n",
         more_pages, times);
  if (more_pages > 256) fail("memory is leaked");
  return 0;
}
