// SPDX-License-Identifier: MIT
//
// Sandboxes: the system calls that kevent(7) lists suffice; those of them that may be
// refused are not missed; and what is refused after kevent_init is an error where the
// manual says so.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/robustness/guest/features.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

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
