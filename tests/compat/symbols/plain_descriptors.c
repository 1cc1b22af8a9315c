/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of libkevent: the descriptor calls that it
 * interposes, on descriptors of every ordinary kind, on numbers that are none,
 * and with arguments that must fail.  Like plain_timers.c it prints what it
 * observes and nothing that differs between two runs.  Built twice, for fcntl
 * and, with 64-bit file offsets, for fcntl64.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#define CLOSE_RANGE_CLOEXEC 4
#endif

enum { kUntouched = 1234, kFirst = 20, kUnused = 700 };

static void report(const char *what, int number, int result) {
  int error = errno;
  printf("%-34s %4d  %d", what, number, result);
  if (result == -1) {
    printf(" %s", strerrorname_np(error));
  } else if (error != kUntouched) {
    printf(" errno set to %s", strerrorname_np(error));
  }
  printf("\n");
}

/* Makes the call with a known errno, prints its result and what became of errno. */
#define REPORT(what, number, call)    \
  do {                                \
    errno = kUntouched;               \
    report((what), (number), (call)); \
  } while (0)

static int is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

static void print_open(int first, int last) {
  printf("open of %d to %d:", first, last);
  for (int fd = first; fd <= last; fd++) {
    if (is_open(fd)) printf(" %d%s", fd, fcntl(fd, F_GETFD) == FD_CLOEXEC ? "e" : "");
  }
  printf("\n");
}

static void every_fcntl(int fd) {
  REPORT("F_GETFD", fd, fcntl(fd, F_GETFD));
  REPORT("F_SETFD", fd, fcntl(fd, F_SETFD, FD_CLOEXEC));
  REPORT("F_GETFD", fd, fcntl(fd, F_GETFD));
  REPORT("F_SETFD", fd, fcntl(fd, F_SETFD, 0));
  REPORT("F_GETFL", fd, fcntl(fd, F_GETFL));
  REPORT("F_SETFL", fd, fcntl(fd, F_SETFL, O_NONBLOCK));
  REPORT("F_GETFL", fd, fcntl(fd, F_GETFL));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  REPORT("F_GETLK", fd, fcntl(fd, F_GETLK, &lock));
  printf("  lock type %d\n", lock.l_type);
  REPORT("F_GETLK NULL", fd, fcntl(fd, F_GETLK, NULL));
  struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = 0};
  REPORT("F_SETOWN_EX", fd, fcntl(fd, F_SETOWN_EX, &owner));
  REPORT("F_GETOWN_EX", fd, fcntl(fd, F_GETOWN_EX, &owner));
  REPORT("F_SETSIG", fd, fcntl(fd, F_SETSIG, 0));
  REPORT("F_GETPIPE_SZ", fd, fcntl(fd, F_GETPIPE_SZ));
  REPORT("F_GET_SEALS", fd, fcntl(fd, F_GET_SEALS));
  REPORT("F_DUPFD", fd, fcntl(fd, F_DUPFD, 300));
  REPORT("F_DUPFD_CLOEXEC", fd, fcntl(fd, F_DUPFD_CLOEXEC, 300));
  REPORT("F_DUPFD negative", fd, fcntl(fd, F_DUPFD, -1));
  REPORT("F_DUPFD out of range", fd, fcntl(fd, F_DUPFD, INT_MAX));
  REPORT("no such command", fd, fcntl(fd, 9999, 0));
  print_open(300, 302);
  close(300);
  close(301);
}

static void every_duplication(int fd) {
  int made;
  REPORT("dup", fd, made = dup(fd));
  if (made >= 0) REPORT("close the copy", fd, close(made));
  REPORT("dup2", fd, dup2(fd, 400));
  REPORT("dup2 onto an open one", fd, dup2(fd, 400));
  REPORT("dup2 onto itself", fd, dup2(fd, fd));
  REPORT("dup2 onto -1", fd, dup2(fd, -1));
  REPORT("dup2 out of range", fd, dup2(fd, INT_MAX));
  REPORT("dup3", fd, dup3(fd, 401, 0));
  REPORT("dup3 O_CLOEXEC", fd, dup3(fd, 402, O_CLOEXEC));
  REPORT("dup3 onto itself", fd, dup3(fd, fd, 0));
  REPORT("dup3 onto -1", fd, dup3(fd, -1, 0));
  REPORT("dup3 O_APPEND", fd, dup3(fd, 403, O_APPEND));
  print_open(400, 403);
  closefrom(400);
}

static void open_some(void) {
  for (int fd = 500; fd < 508; fd++) dup2(STDOUT_FILENO, fd);
}

static void every_range(void) {
  open_some();
  REPORT("close_range", 501, close_range(501, 502, 0));
  REPORT("close_range of one", 503, close_range(503, 503, 0));
  REPORT("close_range of closed ones", 501, close_range(501, 503, 0));
  REPORT("close_range CLOEXEC", 504, close_range(504, 505, CLOSE_RANGE_CLOEXEC));
  REPORT("close_range UNSHARE", 506, close_range(506, 506, CLOSE_RANGE_UNSHARE));
  print_open(500, 508);
  REPORT("close_range backwards", 507, close_range(507, 500, 0));
  REPORT("close_range, unknown flag", 500, close_range(500, 507, 0x4000));
  print_open(500, 508);
  REPORT("close_range to the end", 504, close_range(504, ~0U, 0));
  print_open(500, 508);
  REPORT("close_range beyond the end", INT_MAX, close_range(~0U - 1, ~0U, 0));

  open_some();
  errno = kUntouched;
  closefrom(504);
  report("closefrom", 504, errno == kUntouched ? 0 : -1);
  print_open(500, 508);
  errno = kUntouched;
  closefrom(504);
  report("closefrom, nothing open", 504, errno == kUntouched ? 0 : -1);

  /* A negative number is the same as 0.  In a child, which then has nothing
   * left to say it with but its status. */
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    closefrom(-5);
    _exit(is_open(0) + is_open(1) + is_open(2) + is_open(500));
  }
  int status = -1;
  waitpid(child, &status, 0);
  printf("closefrom of a negative number left %d of four\n", WEXITSTATUS(status));
}

int main(void) {
  /* Fixed numbers, whatever this process has inherited. */
  close_range(3, ~0U, 0);
  if (fcntl(STDOUT_FILENO, F_DUPFD, kUnused) != kUnused || close(kUnused) != 0) {
    fprintf(stderr, "needs more than %d descriptors\n", kUnused);
    return 1;
  }
  int made[6];
  const char *names[6] = {"file", "pipe", "socket", "epoll", "eventfd", "timerfd"};
  made[0] = open("/dev/null", O_RDWR);
  int ends[2];
  if (pipe(ends) != 0) return 1;
  made[1] = ends[0];
  made[2] = socket(AF_UNIX, SOCK_STREAM, 0);
  made[3] = epoll_create1(0);
  made[4] = eventfd(0, 0);
  made[5] = timerfd_create(CLOCK_MONOTONIC, 0);
  for (int i = 0; i < 6; i++) {
    printf("%s\n", names[i]);
    if (dup2(made[i], kFirst + i) != kFirst + i) return 1;
    every_fcntl(kFirst + i);
    every_duplication(kFirst + i);
    REPORT("close", kFirst + i, close(kFirst + i));
    REPORT("close again", kFirst + i, close(kFirst + i));
  }

  static const int bad[] = {-1, -100, INT_MIN, kUnused, 1 << 20, INT_MAX};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    printf("no descriptor\n");
    every_fcntl(bad[i]);
    every_duplication(bad[i]);
    REPORT("close", bad[i], close(bad[i]));
  }
  every_range();
  return 0;
}
