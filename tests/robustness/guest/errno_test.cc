// SPDX-License-Identifier: MIT
//
// A successful call leaves errno alone (kevent(7)), also the first of its kind in a
// process, which maps tables and starts threads, and where a sandbox refuses what the
// library can do without.

#include <fcntl.h>
#include <kevent/kevent.h>
#include <mqueue.h>
#include <netdb.h>
#include <sys/eventfd.h>

#include <cstring>

#include "tests/support/aio.h"
#include "tests/support/process.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

constexpr int kUnset = 77;

// In a child: the call succeeds, and errno is what it was.
#define SUCCEEDS(call)            \
  do {                            \
    errno = kUnset;               \
    CHILD_CHECK((call) >= 0);     \
    CHILD_CHECK(errno == kUnset); \
  } while (false)

void Collect(int queue) {
  ukevent event;
  SUCCEEDS(kevent_get_events(queue, 1, 1, nullptr, &event, 0));
  const timespec at_once = {0, 0};
  SUCCEEDS(kevent_get_events(queue, 0, 1, &at_once, &event, 0));
}

void UseTimers(int queue, clockid_t clock) {
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  timer_t timer;
  SUCCEEDS(timer_create(clock, &request, &timer));
  itimerspec setting = {{0, 0}, {0, 1'000'000}};
  SUCCEEDS(timer_settime(timer, 0, &setting, nullptr));
  SUCCEEDS(timer_gettime(timer, &setting));
  SUCCEEDS(timer_getoverrun(timer));
  if (clock == CLOCK_MONOTONIC) Collect(queue);
  SUCCEEDS(timer_delete(timer));
}

void UseOperations(int queue) {
  char byte = 'x';
  int ends[2];
  CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHILD_CHECK(file >= 0);
  aiocb control = {};
  control.aio_buf = &byte;
  control.aio_nbytes = 1;
  control.aio_lio_opcode = LIO_READ;
  kevent_sigevent(&control.aio_sigevent, queue, nullptr);
  for (const int fd : {file, ends[0]}) {
    control.aio_fildes = fd;
    SUCCEEDS(aio_read(&control));
    if (fd != file) CHILD_CHECK(write(ends[1], "x", 1) == 1);
    Collect(queue);
    SUCCEEDS(aio_error(&control));
    SUCCEEDS(aio_return(&control));
  }
  control.aio_fildes = file;
  aiocb* list[] = {&control};
  SUCCEEDS(lio_listio(LIO_NOWAIT, list, 1, nullptr));
  Collect(queue);
  SUCCEEDS(aio_suspend(list, 1, nullptr));
  control.aio_fildes = ends[1];
  SUCCEEDS(aio_write(&control));
  Collect(queue);
  control.aio_fildes = ends[0];
  SUCCEEDS(aio_read(&control));  // of the byte
  Collect(queue);
  SUCCEEDS(aio_read(&control));  // of nothing
  SUCCEEDS(aio_cancel(ends[0], &control));
  CHILD_CHECK(write(ends[1], "x", 1) == 1);  // where it has begun
  Collect(queue);
  close(file);
  for (const int end : ends) close(end);
}

[[maybe_unused]] void LookUp(int queue) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST;
  gaicb lookup = {};
  lookup.ar_name = "127.0.0.1";
  lookup.ar_request = &hints;
  gaicb* list[] = {&lookup};
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  SUCCEEDS(getaddrinfo_a(GAI_NOWAIT, list, 1, &request));
  Collect(queue);
  CHILD_CHECK(gai_error(&lookup) == 0);
  freeaddrinfo(lookup.ar_result);
}

void UseKevents(int queue) {
  const int ready = eventfd(1, EFD_CLOEXEC);
  CHILD_CHECK(ready >= 0);
  ukevent poll = {};
  poll.type = KEVENT_POLL;
  poll.event = KEVENT_POLL_POLLIN;
  poll.req_flags = KEVENT_REQ_ALWAYS_QUEUE;
  poll.id.raw[0] = static_cast<uint32_t>(ready);
  ukevent signal = {};
  signal.type = KEVENT_SIGNAL;
  signal.event = KEVENT_SIGNAL_DELIVERY;
  signal.id.raw[0] = SIGUSR1;
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHILD_CHECK(sigprocmask(SIG_BLOCK, &blocked, nullptr) == 0);
  for (const ukevent& kevent : {poll, signal}) {
    ukevent request = kevent;
    SUCCEEDS(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request));
    CHILD_CHECK((request.ret_flags & KEVENT_RET_BROKEN) == 0);
  }
  Collect(queue);
  for (const ukevent& kevent : {poll, signal}) {
    ukevent request = kevent;
    SUCCEEDS(kevent_ctl(queue, KEVENT_CTL_REMOVE, 1, &request));
  }
  SUCCEEDS(close(ready));
}

void UseDescriptors(int queue) {
  int copy;
  SUCCEEDS(copy = dup(queue));
  SUCCEEDS(dup2(queue, copy));
  SUCCEEDS(dup3(queue, copy, O_CLOEXEC));
  SUCCEEDS(fcntl(copy, F_GETFL));
  SUCCEEDS(close_range(static_cast<unsigned>(copy), static_cast<unsigned>(copy), 0));
}

void UseAll() {
  int queue;
  SUCCEEDS(queue = kevent_init(nullptr, 0, 0));
  UseTimers(queue, CLOCK_MONOTONIC);
  UseTimers(queue, CLOCK_PROCESS_CPUTIME_ID);
  UseOperations(queue);
#if !defined(__SANITIZE_THREAD__)  // which does not know the C library's threads
  LookUp(queue);
#endif
  UseKevents(queue);
  UseDescriptors(queue);
  SUCCEEDS(close(queue));
}

TEST(Errno, IsLeftAloneByTheFirstCallsOfAProcess) { ExpectChild(UseAll); }

// Of the places and policies of threads, and what a wish is.
TEST(Errno, IsLeftAloneWhereASandboxRefusesWhatIsNotNeeded) {
  for (const long call : {SYS_sched_getscheduler, SYS_sched_getparam, SYS_sched_setscheduler,
                          SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_getpriority,
                          SYS_setpriority, SYS_prctl, SYS_io_uring_setup, SYS_munmap}) {
    SCOPED_TRACE(call);
    ExpectChild([call] {
      CHILD_CHECK(Refuse(static_cast<uint32_t>(call), EPERM));
      UseAll();
    });
  }
}

}  // namespace
}  // namespace kevent_test
