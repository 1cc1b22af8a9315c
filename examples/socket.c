/* SPDX-License-Identifier: MIT */
/*
 * KEVENT_SOCKET: accepting, receiving and sending.
 *
 *     cc socket.c -lkevent
 *
 * A listening socket, the connection that it accepts, and the client's end of
 * it are in one queue.  The server sends back the bytes that it receives; the client
 * has one event when it can send, and ends when its words have come back.
 */
#define _GNU_SOURCE

#include <kevent/kevent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

/* KEVENT_REQ_ALWAYS_QUEUE: the event of a socket that is ready already comes by the queue too. */
static void watch(int kev_fd, int fd, unsigned event, unsigned req_flags) {
  struct ukevent request = {
      .id.raw = {(unsigned)fd, 0},
      .type = KEVENT_SOCKET,
      .event = event,
      .req_flags = req_flags | KEVENT_REQ_ALWAYS_QUEUE,
  };
  int refused = kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, &request);
  if (refused == -1) die("kevent_ctl");
  if (refused > 0) {
    fprintf(stderr, "socket: %s\n", strerror(-(int)request.ret_data[1]));
    exit(EXIT_FAILURE);
  }
}

static int listen_somewhere(struct sockaddr_in *address) {
  socklen_t size = sizeof *address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  *address = (struct sockaddr_in){.sin_family = AF_INET};
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd == -1 || bind(fd, (struct sockaddr *)address, size) == -1 || listen(fd, 8) == -1 ||
      getsockname(fd, (struct sockaddr *)address, &size) == -1) {
    die("listen");
  }
  return fd;
}

static void echo(int fd) {
  char words[64];
  ssize_t n = recv(fd, words, sizeof words, 0);
  if (n > 0 && send(fd, words, (size_t)n, 0) != n) die("send");
}

int main(void) {
  static const char words[] = "completions without signals";
  struct sockaddr_in address;
  int kev_fd = kevent_init(NULL, 0, 0);
  if (kev_fd == -1) die("kevent_init");
  int listener = listen_somewhere(&address);
  int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(client, (struct sockaddr *)&address, sizeof address) == -1) die("connect");
  watch(kev_fd, listener, KEVENT_SOCKET_ACCEPT, 0);
  watch(kev_fd, client, KEVENT_SOCKET_SEND, KEVENT_REQ_ONESHOT);

  for (;;) {
    struct ukevent events[4];
    int n = kevent_get_events(kev_fd, 1, 4, NULL, events, 0);
    if (n == -1) die("kevent_get_events");
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].id.raw[0];
      if (fd == listener) {
        printf("accepted\n");
        watch(kev_fd, accept4(listener, NULL, NULL, SOCK_CLOEXEC), KEVENT_SOCKET_RECV, 0);
      } else if (fd != client) {
        echo(fd);
      } else if (events[i].ret_data[0] == KEVENT_SOCKET_SEND) {
        if (send(client, words, sizeof words, 0) == -1) die("send");
        watch(kev_fd, client, KEVENT_SOCKET_RECV, 0);
      } else {
        char back[64];
        if (recv(client, back, sizeof back, 0) <= 0) die("recv");
        printf("back: %s\n", back);
        return 0;
      }
    }
  }
}
