// SPDX-License-Identifier: MIT
//
// Sandboxes: the system calls that kevent(7) lists suffice; those of them that may be
// refused are not missed; and what is refused after kevent_init is an error where the
// manual says so.

#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

using Calls = std::vector<uint32_t>;

// ---- The table of SANDBOXES in kevent(7) ----------------------------------------------

const Calls kMaking = {SYS_epoll_create1, SYS_epoll_ctl, SYS_timerfd_create, SYS_timerfd_settime,
                       SYS_pipe2,         SYS_write,     SYS_close,          SYS_mmap,
                       SYS_munmap,        SYS_madvise,   SYS_futex,          SYS_rt_sigprocmask,
                       SYS_getpid,        SYS_prlimit64};
const Calls kRunning = {SYS_epoll_ctl, SYS_epoll_pwait, SYS_timerfd_settime,
                        SYS_ppoll,     SYS_futex,       SYS_rt_sigprocmask,
                        SYS_close};
const Calls kFcntlMaking = {F_SETSIG, F_GETSIG, F_DUPFD_CLOEXEC};
const Calls kFcntlRunning = {F_GETSIG, F_GETFL};
const Calls kFcntl = {F_SETSIG, F_GETSIG, F_GETFL, F_SETFL, F_GETFD, F_DUPFD, F_DUPFD_CLOEXEC};
const Calls kDuplicates = {SYS_dup, SYS_dup3};
const Calls kFork = {SYS_dup3, SYS_clone, SYS_set_robust_list};
// fstat of the C library is one or the other, by its version.
const Calls kKevents = {SYS_newfstatat, SYS_fstat};
const Calls kSignals = {SYS_signalfd4, SYS_read, SYS_rt_sigpending};
const Calls kInodes = {SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_read};
const Calls kProcesses = {SYS_pidfd_open, SYS_waitid};
const Calls kMessages = {SYS_socket, SYS_mq_notify, SYS_recvfrom};
const Calls kThreads = {SYS_clone3,         SYS_clone,  SYS_mprotect,
                        SYS_rt_sigprocmask, SYS_gettid, SYS_set_robust_list,
                        SYS_rseq,           SYS_exit,   SYS_rt_sigaction};
const Calls kCpuTime = {SYS_timer_create, SYS_timer_settime, SYS_timer_delete, SYS_rt_sigtimedwait,
                        SYS_clock_gettime};
const Calls kAlarms = {SYS_timer_create, SYS_timer_delete};
// Of the C library, for an address that is a number.
const Calls kLookups = {SYS_openat, SYS_read, SYS_newfstatat, SYS_fstat};
const Calls kTransfers = {SYS_read,    SYS_write, SYS_pread64,         SYS_pwrite64, SYS_lseek,
                          SYS_fstatfs, SYS_fsync, SYS_rt_sigtimedwait, SYS_fdatasync};

// What the tests themselves call.
const Calls kProgram = {SYS_write, SYS_exit_group, SYS_brk,  SYS_getrandom,
                        SYS_poll,  SYS_kill,       SYS_wait4};

// The table's rows that a feature needs.
Calls Together(std::initializer_list<Calls> rows) {
  Calls all = kProgram;
  for (const Calls& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

// ---- What a program does ------------------------------------------------------------------

sigevent ToQueue(int queue) {
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  return request;
}

ukevent CollectOne(int queue) {
  ukevent event = {};
  CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
  return event;
}

void Expect(int queue, ukevent request) {
  CHILD_CHECK(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request) == 0);
}

timer_t MakeTimer(int queue, clockid_t clock) {
  sigevent request = ToQueue(queue);
  timer_t timer;
  CHILD_CHECK(timer_create(clock, &request, &timer) == 0);
  return timer;
}

void Arm(timer_t timer, Nanos value, int flags = 0) {
  const itimerspec setting = Setting(value);
  CHILD_CHECK(timer_settime(timer, flags, &setting, nullptr) == 0);
}

void UseTimers(int queue) {
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

void UseDuplicates(int queue, const int*) {
  const int copies[] = {dup(queue), dup2(queue, 100), dup3(queue, 101, O_CLOEXEC),
                        fcntl(queue, F_DUPFD, 0), fcntl(queue, F_DUPFD_CLOEXEC, 0)};
  for (const int copy : copies) CHILD_CHECK(copy >= 0);
  UseTimers(copies[1]);
  for (const int copy : copies) CHILD_CHECK(close(copy) == 0);
}

void UseInChild(int queue, const int*) {
  const pid_t child = fork();
  CHILD_CHECK(child >= 0);
  UseTimers(queue);
  if (child == 0) _exit(0);
  CHILD_CHECK(ExitStatus(child) == 0);
}

void UsePipe(int queue, const int* ends) {
  Expect(queue, DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV));
  CHILD_CHECK(write(ends[1], "k", 1) == 1);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_PIPE);
}

void UseSignal(int queue) {
  Expect(queue, Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_SIGNAL_DELIVERY));
  CHILD_CHECK(kill(getpid(), SIGUSR1) == 0);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_SIGNAL);
}

struct Feature {
  const char* name;
  Calls calls;
  void (*use)(int queue, const int* ends);
};

void UseDirectory(int queue, const int*) {
  const int directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHILD_CHECK(directory >= 0);
  ukevent request = DescriptorRequest(KEVENT_INODE, directory, KEVENT_INODE_CREATE, 0);
  Expect(queue, request);
  request.ret_flags = 0;
  CHILD_CHECK(kevent_ctl(queue, KEVENT_CTL_REMOVE, 1, &request) == 0);
  CHILD_CHECK((request.ret_flags & KEVENT_RET_BROKEN) == 0);
}

void UseProcess(int queue, const int*) {
  const pid_t child = fork();
  if (child == 0) _exit(3);
  Expect(queue, Request(KEVENT_PROCESS, static_cast<uint64_t>(child), KEVENT_PROCESS_EXIT));
  CHILD_CHECK(CollectOne(queue).ret_data[0] == 3 << 8);
}

// From one end to the other, whichever way it is done.
void Transfer(int queue, int reader, int writer, size_t bytes) {
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

void UseTransfer(int queue, const int* ends) { Transfer(queue, ends[0], ends[1], 1); }

void UseCpuTime(int queue, const int*) {
  const timer_t timer = MakeTimer(queue, CLOCK_PROCESS_CPUTIME_ID);
  Arm(timer, kMillisecond);
  ukevent event;
  while (kevent_get_events(queue, 0, 1, nullptr, &event, 0) == 0) {
  }
  CHILD_CHECK(timer_delete(timer) == 0);
}

void UseLookup(int queue, const int*) {
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

const Feature kFeatures[] = {
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

class Sandboxes : public testing::TestWithParam<Feature> {};

TEST_P(Sandboxes, LetThroughWhatIsListed) {
  ExpectChild([] {
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    CHILD_CHECK(sigprocmask(SIG_BLOCK, &user, nullptr) == 0);
    int ends[2];
    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHILD_CHECK(AllowOnly(GetParam().calls, kFcntl));
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    GetParam().use(queue, ends);
    CHILD_CHECK(close(queue) == 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Of, Sandboxes, testing::ValuesIn(kFeatures),
                         [](const auto& info) { return std::string(info.param.name); });

// The kernel says whether there may be any, as it does without a sandbox.
TEST(Sandbox, AlarmsAreAskedForWithWhatIsListed) {
  ExpectChild([] {
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    sigevent request = ToQueue(queue);
    const auto result = [&request] {
      timer_t timer;
      if (timer_create(CLOCK_BOOTTIME_ALARM, &request, &timer) != 0) return errno;
      return timer_delete(timer) == 0 ? 0 : errno;
    };
    const int before = result();
    CHILD_CHECK(AllowOnly(Together({kMaking, kRunning, kAlarms}), kFcntl));
    CHILD_CHECK(result() == before);
  });
}

TEST(Sandbox, MessageQueuesAreAnnouncedWithWhatIsListed) {
  ExpectChild([] {
    const std::string name = "/kevent_sandbox_" + std::to_string(getpid());
    mq_attr attributes = {};
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 8;
    const mqd_t messages = mq_open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600, &attributes);
    CHILD_CHECK(messages >= 0 && mq_unlink(name.c_str()) == 0);
    CHILD_CHECK(
        AllowOnly(Together({kMaking, kRunning, kKevents, kMessages, {SYS_mq_timedsend}}), kFcntl));
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    const sigevent request = ToQueue(queue);
    CHILD_CHECK(mq_notify(messages, &request) == 0);
    CHILD_CHECK(mq_send(messages, "k", 1, 0) == 0);
    CHILD_CHECK(CollectOne(queue).type == KEVENT_MQ);
  });
}

// What is made before needs less afterwards; to make more is an error.
TEST(Sandbox, WhatIsMadeRunsWithLess) {
  ExpectChild([] {
    CHILD_CHECK(AllowOnly(Together({kMaking}), kFcntlMaking));
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    MakeTimer(queue, CLOCK_MONOTONIC);
  });
  ExpectChild([] {
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    const timer_t timer = MakeTimer(queue, CLOCK_MONOTONIC);
    CHILD_CHECK(AllowOnly(Together({kRunning}), kFcntlRunning));
    for (const Nanos value : {kMillisecond, Nanos{1}}) {
      Arm(timer, value);
      pollfd descriptor = {queue, POLLIN, 0};
      CHILD_CHECK(poll(&descriptor, 1, -1) == 1);
      CollectOne(queue);
      Arm(timer, value);
      const timespec timeout = {0, 5 * kMillisecond};
      ukevent events[2];
      CHILD_CHECK(kevent_get_events(queue, 2, 2, &timeout, events, 0) == 1);
    }
    sigevent request = ToQueue(queue);
    timer_t another;
    CHILD_CHECK(timer_create(CLOCK_REALTIME, &request, &another) == -1 && errno == EPERM);
    CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == EPERM);
    CHILD_CHECK(timer_delete(timer) == 0 && close(queue) == 0);
  });
}

// ---- Refused before -------------------------------------------------------------------------

// kevent_init says so, rather than give a queue that does not ring; by this error.
TEST(Sandbox, RefusedBeforeItIsAnErrorOfKeventInit) {
  const std::pair<uint32_t, int> refused[] = {
      {SYS_epoll_create1, EPERM},   {SYS_epoll_ctl, EPERM}, {SYS_timerfd_create, EPERM},
      {SYS_timerfd_settime, EPERM}, {SYS_madvise, EPERM},   {SYS_mmap, EPERM},
  };
  for (const auto& [call, error] : refused) {
    SCOPED_TRACE(call);
    ExpectChild([call = call, error = error] {
      CHILD_CHECK(Refuse(call, EPERM));
      CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == error);
    });
  }
  for (const uint32_t command : {F_SETSIG, F_GETSIG, F_DUPFD_CLOEXEC}) {
    SCOPED_TRACE(command);
    const std::set<int> before = OpenDescriptors();
    ExpectChild([&before, command] {
      CHILD_CHECK(Refuse(SYS_fcntl, EPERM, 1, command));
      CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == EPERM);
      CHILD_CHECK(OpenDescriptors() == before);
    });
  }
}

// ---- Refused after ---------------------------------------------------------------------------

// What would wake it is refused: a thread does not go to sleep, and what is due already
// is reported as ever.
TEST(Sandbox, WhoeverWouldSleepUnwakeableIsTold) {
  const auto check = [](auto refuse) {
    ExpectChild([refuse] {
      const int queue = kevent_init(nullptr, 0, 0);
      CHILD_CHECK(queue >= 0);
      const timer_t timer = MakeTimer(queue, CLOCK_MONOTONIC);
      CHILD_CHECK(refuse());
      Arm(timer, kHour);
      ukevent event;
      CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == -1 && errno == EPERM);
      Arm(timer, 1, TIMER_ABSTIME);
      CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
      CHILD_CHECK(close(queue) == 0);
    });
  };
  check([] { return Refuse(SYS_timerfd_settime, EPERM); });
  check([] { return Refuse(SYS_fcntl, EPERM, 1, F_GETSIG); });
  check([] { return Refuse(SYS_fcntl, EPERM, 1, F_GETFL); });
  check([] { return Refuse(SYS_ppoll, EPERM); });
}

// What the manual says may be refused, before kevent_init and after it.
TEST(Sandbox, WhatMayBeRefusedIsNotMissed) {
  const auto check = [](auto refuse) {
    for (const bool later : {false, true}) {
      ExpectChild([refuse, later] {
        int ends[2];
        int sockets[2];
        CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
        CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
        const int eventfd = ::eventfd(0, EFD_CLOEXEC);
        CHILD_CHECK(later || refuse());
        const int queue = kevent_init(nullptr, 0, 0);
        CHILD_CHECK(queue >= 0);
        CHILD_CHECK(!later || refuse());
        UseTimers(queue);
        UsePipe(queue, ends);
        CHILD_CHECK(close(queue) == 0);
        const int another = kevent_init(nullptr, 0, 0);
        char byte;
        CHILD_CHECK(another >= 0 && read(ends[0], &byte, 1) == 1);
        UseTransfer(another, ends);
        Transfer(another, sockets[0], sockets[1], 1);
        Transfer(another, eventfd, eventfd, 8);
        CHILD_CHECK(close(another) == 0);
      });
    }
  };
  for (const uint32_t call :
       {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_openat, SYS_prctl,
        SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_getscheduler,
        SYS_sched_setscheduler, SYS_getpriority, SYS_setpriority, SYS_sched_getparam, SYS_preadv2,
        SYS_readlinkat, SYS_getsockopt, SYS_close_range, SYS_kill}) {
    SCOPED_TRACE(call);
    for (const int error : {EPERM, ENOSYS}) {
      check([call, error] { return Refuse(call, error); });
    }
  }
  for (const uint32_t command : {F_SETLK, F_GETLK, F_OFD_GETLK}) {
    SCOPED_TRACE(command);
    check([command] { return Refuse(SYS_fcntl, EPERM, 1, command); });
  }
  for (const uint32_t advice : {MADV_HUGEPAGE, MADV_DONTFORK, 23}) {
    SCOPED_TRACE(advice);
    check([advice] { return Refuse(SYS_madvise, EPERM, 2, advice); });
  }
}

}  // namespace
}  // namespace kevent_test
