/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo_a with look-ups that take as long as this program wants: /etc/hosts
 * is a FIFO in a mount namespace of its own, and the C library is held up in
 * open(2) until somebody opens it for writing.  (It then finds that the file
 * cannot be sought in, and the look-up fails.)
 *
 * No list has its event before all of its look-ups have ended, however long that
 * takes; and at the event its control blocks are the program's own.  A list for which
 * no thread can be made is refused, though others have theirs: these may be held for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/check.h"

enum { SKIPPED = 77, LISTS = 5 };

static void skip(const char *what) {
  perror(what);
  exit(SKIPPED);
}

static void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) skip(path);
  close(fd);
}

static void put_in_place_of(const char *path, const char *file) {
  if (mount(file, path, "none", MS_BIND, NULL) != 0) skip(path);
}

static char folder[] = "/tmp/kevent.XXXXXX";
static char hosts[64];
static char services[64];

static uid_t user;

static void make_hosts_a_fifo(void) {
  user = geteuid();
  if (unshare(CLONE_NEWNS) != 0) {
    char map[64];
    if (unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0) skip("unshare");
    snprintf(map, sizeof map, "0 %u 1", user);
    put("/proc/self/uid_map", map);
  }
  if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) skip("mount");
  if (mkdtemp(folder) == NULL) skip(folder);
  snprintf(hosts, sizeof hosts, "%s/hosts", folder);
  snprintf(services, sizeof services, "%s/nsswitch.conf", folder);
  put(services, "hosts: files\n");
  if (mkfifo(hosts, 0600) != 0) skip(hosts);
  put_in_place_of("/etc/nsswitch.conf", services);
  put_in_place_of("/etc/hosts", hosts);
}

/* Lets those go on that are in open(2), if any. */
static void let_go(void) {
  int fd = open(hosts, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) close(fd);
}

static int get(int queue, long milliseconds, struct ukevent *events) {
  struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  return kevent_get_events(queue, 1, LISTS, &timeout, events, 0);
}

/* The kernel counts no threads of root's: this thread is another's meanwhile. */
static int look_up_without_threads(struct gaicb **list, struct sigevent *notification) {
  struct rlimit before;
  CHECK(getrlimit(RLIMIT_NPROC, &before) == 0);
  const struct rlimit one = {1, before.rlim_max};
  if (user == 0) CHECK(syscall(SYS_setresuid, 65534, 65534, 0) == 0);
  CHECK(setrlimit(RLIMIT_NPROC, &one) == 0);
  const int result = getaddrinfo_a(GAI_NOWAIT, list, 1, notification);
  CHECK(setrlimit(RLIMIT_NPROC, &before) == 0);
  if (user == 0) CHECK(syscall(SYS_setresuid, 0, 0, 0) == 0);
  return result;
}

int main(void) {
  make_hosts_a_fifo();
  alarm(120);

  int queue = kevent_init(NULL, 0, 0);
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
  struct gaicb *requests[LISTS];
  for (int i = 0; i < LISTS; i++) {
    requests[i] = calloc(1, sizeof *requests[i]);
    CHECK(requests[i] != NULL);
    requests[i]->ar_name = "held.example";
    requests[i]->ar_request = &hints;
    struct sigevent notification;
    kevent_sigevent(&notification, queue, requests[i]);
    CHECK(getaddrinfo_a(GAI_NOWAIT, &requests[i], 1, &notification) == 0);
  }

  static struct gaicb refused = {.ar_name = "held.example"};
  struct gaicb *list[] = {&refused};
  struct sigevent notification;
  kevent_sigevent(&notification, queue, &refused);
  CHECK(look_up_without_threads(list, &notification) == EAI_AGAIN);

  /* Longer than the library ever waits before it looks again. */
  struct ukevent events[LISTS];
  CHECK(get(queue, 450, events) == 0);
  for (int i = 0; i < LISTS; i++) CHECK(gai_error(requests[i]) == EAI_INPROGRESS);

  /* In whatever order the C library does them. */
  struct gaicb was[LISTS];
  struct gaicb *freed[LISTS];
  for (int i = 0; i < LISTS;) {
    let_go();
    int count = get(queue, 10, events);
    CHECK(count >= 0 && i + count <= LISTS);
    for (int k = 0; k < count; k++) {
      CHECK(events[k].type == KEVENT_GAI);
      struct gaicb *request = events[k].ptr;
      CHECK(events[k].id.raw_u64 == (uintptr_t)request);
      CHECK(gai_error(request) != EAI_INPROGRESS);
      /* Kept, but another's from here on. */
      memset(request, 0xaa, sizeof *request);
      freed[i++] = request;
    }
  }
  CHECK(get(queue, 250, events) == 0);
  memset(was, 0xaa, sizeof was);
  for (int i = 0; i < LISTS; i++) {
    CHECK(memcmp(freed[i], &was[i], sizeof was[i]) == 0);
    free(freed[i]);
  }
  close(queue);

  unlink(hosts);
  unlink(services);
  rmdir(folder);
  return EXIT_SUCCESS;
}
