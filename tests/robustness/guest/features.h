// SPDX-License-Identifier: MIT
//
// What a program does with each part of the library, and the system calls that kevent(7) lists
// for it: for children of fork, which run it in a sandbox.

#ifndef KEVENT_TESTS_ROBUSTNESS_GUEST_FEATURES_H_
#define KEVENT_TESTS_ROBUSTNESS_GUEST_FEATURES_H_

#include <fcntl.h>
#include <netdb.h>
#include <sys/syscall.h>

#include <vector>

#include "tests/support/aio.h"
#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {

using Calls = std::vector<uint32_t>;

// ---- The table of SANDBOXES in kevent(7) ----------------------------------------------

inline const Calls kMaking = {
    SYS_epoll_create1, SYS_epoll_ctl,      SYS_timerfd_create, SYS_timerfd_settime, SYS_pipe2,
    SYS_write,         SYS_close,          SYS_mmap,           SYS_munmap,          SYS_madvise,
    SYS_futex,         SYS_rt_sigprocmask, SYS_getpid,         SYS_prlimit64};
inline const Calls kRunning = {SYS_epoll_ctl, SYS_epoll_pwait, SYS_timerfd_settime,
                               SYS_ppoll,     SYS_futex,       SYS_rt_sigprocmask,
                               SYS_close};
inline const Calls kFcntlMaking = {F_SETSIG, F_GETSIG, F_DUPFD_CLOEXEC};
inline const Calls kFcntlRunning = {F_GETSIG, F_GETFL};
inline const Calls kFcntl = {F_SETSIG, F_GETSIG, F_GETFL,        F_SETFL,
                             F_GETFD,  F_DUPFD,  F_DUPFD_CLOEXEC};
inline const Calls kDuplicates = {SYS_dup, SYS_dup3};
inline const Calls kFork = {SYS_dup3, SYS_clone, SYS_set_robust_list};
// fstat of the C library is one or the other, by its version.
inline const Calls kKevents = {SYS_newfstatat, SYS_fstat};
inline const Calls kSignals = {SYS_signalfd4, SYS_read, SYS_rt_sigpending};
inline const Calls kInodes = {SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
                              SYS_read};
inline const Calls kProcesses = {SYS_pidfd_open, SYS_waitid};
inline const Calls kMessages = {SYS_socket, SYS_mq_notify, SYS_recvfrom};
inline const Calls kThreads = {SYS_clone3,         SYS_clone,  SYS_mprotect,
                               SYS_rt_sigprocmask, SYS_gettid, SYS_set_robust_list,
                               SYS_rseq,           SYS_exit,   SYS_rt_sigaction};
inline const Calls kCpuTime = {SYS_timer_create, SYS_timer_settime, SYS_timer_delete,
                               SYS_rt_sigtimedwait, SYS_clock_gettime};
inline const Calls kAlarms = {SYS_timer_create, SYS_timer_delete};
// Of the C library, for an address that is a number.
inline const Calls kLookups = {SYS_openat, SYS_read, SYS_newfstatat, SYS_fstat};
inline const Calls kTransfers = {SYS_read,     SYS_write,           SYS_pread64,
                                 SYS_pwrite64, SYS_lseek,           SYS_fstatfs,
                                 SYS_fsync,    SYS_rt_sigtimedwait, SYS_fdatasync};

// What the tests themselves call.
inline const Calls kProgram = {SYS_write, SYS_exit_group, SYS_brk, SYS_getrandom,
#ifdef SYS_poll  // arm64 has ppoll alone
                               SYS_poll,
#else
                               SYS_ppoll,
#endif
                               SYS_kill,  SYS_wait4};

// The table's rows that a feature needs.
inline Calls Together(std::initializer_list<Calls> rows) {
  Calls all = kProgram;
  for (const Calls& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

// ---- What a program does ------------------------------------------------------------------

inline sigevent ToQueue(int queue) {
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  return request;
}

inline ukevent CollectOne(int queue) {
  ukevent event = {};
  CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
  return event;
}

inline void Expect(int queue, ukevent request) {
  CHILD_CHECK(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request) == 0);
}

inline timer_t MakeTimer(int queue, clockid_t clock) {
  sigevent request = ToQueue(queue);
  timer_t timer;
  CHILD_CHECK(timer_create(clock, &request, &timer) == 0);
  return timer;
}

inline void Arm(timer_t timer, Nanos value, int flags = 0) {
  const itimerspec setting = Setting(value);
  CHILD_CHECK(timer_settime(timer, flags, &setting, nullptr) == 0);
}

inline void UseTimers(int queue) {
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_TAI, CLOCK_BOOTTIME}) {
    const timer_t timer = MakeTimer(queue, clock);
    Arm(timer, kMillisecond);
    CollectOne(queue);
    Arm(timer, 1, TIMER_ABSTIME);
    pollfd descriptor = {queue, POLLIN, 0};
    CHILD_CHECK(poll(&descriptor, 1, -1) == 1);
    CollectOne(queue);
    // With a mask, a minimum that is not reached, and a timeout of its own.
    Arm(timer, kMillisecond);
    sigset_t none;
    sigemptyset(&none);
    const timespec timeout = {0, 5 * kMillisecond};
    ukevent events[2];
    CHILD_CHECK(kevent_pget_events(queue, 2, 2, &timeout, events, 0, &none) == 1);
    CHILD_CHECK(timer_delete(timer) == 0);
  }
}

inline void UseDuplicates(int queue, const int*) {
  const int copies[] = {dup(queue), dup2(queue, 100), dup3(queue, 101, O_CLOEXEC),
                        fcntl(queue, F_DUPFD, 0), fcntl(queue, F_DUPFD_CLOEXEC, 0)};
  for (const int copy : copies) CHILD_CHECK(copy >= 0);
  UseTimers(copies[1]);
  for (const int copy : copies) CHILD_CHECK(close(copy) == 0);
}

inline void UseInChild(int queue, const int*) {
  const pid_t child = fork();
  CHILD_CHECK(child >= 0);
  UseTimers(queue);
  if (child == 0) _exit(0);
  CHILD_CHECK(ExitStatus(child) == 0);
}

inline void UsePipe(int queue, const int* ends) {
  Expect(queue, DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV));
  CHILD_CHECK(write(ends[1], "k", 1) == 1);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_PIPE);
}

inline void UseSignal(int queue) {
  Expect(queue, Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_SIGNAL_DELIVERY));
  CHILD_CHECK(kill(getpid(), SIGUSR1) == 0);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_SIGNAL);
}

struct Feature {
  const char* name;
  Calls calls;
  void (*use)(int queue, const int* ends);
};

inline void UseDirectory(int queue, const int*) {
  const int directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHILD_CHECK(directory >= 0);
  ukevent request = DescriptorRequest(KEVENT_INODE, directory, KEVENT_INODE_CREATE, 0);
  Expect(queue, request);
  request.ret_flags = 0;
  CHILD_CHECK(kevent_ctl(queue, KEVENT_CTL_REMOVE, 1, &request) == 0);
  CHILD_CHECK((request.ret_flags & KEVENT_RET_BROKEN) == 0);
}

inline void UseProcess(int queue, const int*) {
  const pid_t child = fork();
  if (child == 0) _exit(3);
  Expect(queue, Request(KEVENT_PROCESS, static_cast<uint64_t>(child), KEVENT_PROCESS_EXIT));
  CHILD_CHECK(CollectOne(queue).ret_data[0] == 3 << 8);
}

// From one end to the other, whichever way it is done.
inline void Transfer(int queue, int reader, int writer, size_t bytes) {
  char buffer[8] = {};
  aiocb control = {};
  control.aio_fildes = reader;
  control.aio_buf = buffer;
  control.aio_nbytes = bytes;
  control.aio_sigevent = ToQueue(queue);
  CHILD_CHECK(aio_read(&control) == 0);
  CHILD_CHECK(write(writer, "kevent..", bytes) == static_cast<ssize_t>(bytes));
  CollectOne(queue);
  CHILD_CHECK(aio_return(&control) == static_cast<ssize_t>(bytes) && buffer[0] == 'k');
}

inline void UseTransfer(int queue, const int* ends) { Transfer(queue, ends[0], ends[1], 1); }

inline void UseCpuTime(int queue, const int*) {
  const timer_t timer = MakeTimer(queue, CLOCK_PROCESS_CPUTIME_ID);
  Arm(timer, kMillisecond);
  ukevent event;
  while (kevent_get_events(queue, 0, 1, nullptr, &event, 0) == 0) {
  }
  CHILD_CHECK(timer_delete(timer) == 0);
}

inline void UseLookup(int queue, const int*) {
  static addrinfo hints;
  hints.ai_flags = AI_NUMERICHOST;
  static gaicb lookup;
  lookup.ar_name = "127.0.0.1";
  lookup.ar_request = &hints;
  gaicb* list[] = {&lookup};
  sigevent request = ToQueue(queue);
  CHILD_CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, &request) == 0);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_GAI);
  CHILD_CHECK(gai_error(&lookup) == 0 && lookup.ar_result != nullptr);
}

inline const Feature kFeatures[] = {
    {"timers", Together({kMaking, kRunning}), [](int queue, const int*) { UseTimers(queue); }},
    {"duplicates", Together({kMaking, kRunning, kDuplicates}), UseDuplicates},
    {"fork", Together({kMaking, kRunning, kFork}), UseInChild},
    {"descriptors", Together({kMaking, kRunning, kKevents}), UsePipe},
    {"signals", Together({kMaking, kRunning, kKevents, kSignals}),
     [](int queue, const int*) { UseSignal(queue); }},
    {"directories", Together({kMaking, kRunning, kKevents, kInodes, {SYS_openat}}), UseDirectory},
    {"processes",
     Together({kMaking, kRunning, kKevents, kProcesses, {SYS_clone, SYS_set_robust_list}}),
     UseProcess},
    {"transfers", Together({kMaking, kRunning, kKevents, kThreads, kTransfers}), UseTransfer},
    {"lookups", Together({kMaking, kRunning, kKevents, kThreads, kLookups}), UseLookup},
    {"cpu_time", Together({kMaking, kRunning, kThreads, kCpuTime}), UseCpuTime},
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_ROBUSTNESS_GUEST_FEATURES_H_
