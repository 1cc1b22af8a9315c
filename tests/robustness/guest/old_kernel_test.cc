// SPDX-License-Identifier: MIT
//
// The calls that Linux has had since 4.14 and later, each refused as a kernel before it
// does: what needs them fails with the error of the manual, and all else works.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <functional>
#include <string>

#include "tests/support/aio.h"
#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

constexpr uint32_t kAdvice = 2;  // the argument of madvise

// A queue, a timer that is waited for by poll and in the call, and their ends.
void UseAQueue() {
  const std::set<int> before = OpenDescriptors();
  const int queue = kevent_init(nullptr, 0, 0);
  CHILD_CHECK(queue >= 0);
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  timer_t timer;
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
  const itimerspec soon = Setting(kMillisecond, 0);
  for (const bool polls : {true, false}) {
    CHILD_CHECK(timer_settime(timer, 0, &soon, nullptr) == 0);
    pollfd descriptor = {queue, POLLIN, 0};
    CHILD_CHECK(!polls || poll(&descriptor, 1, -1) == 1);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
  }
  CHILD_CHECK(timer_delete(timer) == 0);
  CHILD_CHECK(close(queue) == 0);
  CHILD_CHECK(OpenDescriptors() == before);
}

TEST(OldKernel, WithoutWipingOnForkThereAreNoQueues) {
  const std::set<int> before = OpenDescriptors();
  ExpectChild([&before] {
    CHILD_CHECK(Refuse(SYS_madvise, EINVAL, kAdvice, MADV_WIPEONFORK));
    for (int i = 0; i < 3; ++i) {
      CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == ENOSYS);
    }
    CHILD_CHECK(OpenDescriptors() == before);
    // Nobody else notices.
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, nullptr, &timer) == 0);
    CHILD_CHECK(timer_delete(timer) == 0);
  });
}

// In a sandbox that was made later, the first timer of a process has none.
TEST(OldKernel, WithoutWipingOnForkThereAreNoTimersEither) {
  ExpectChild([] {
    const Queue queue;
    CHILD_CHECK(Refuse(SYS_madvise, EINVAL, kAdvice, MADV_WIPEONFORK));
    sigevent request;
    kevent_sigevent(&request, queue.fd(), nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == -1 && errno == ENOSYS);
    ukevent event = Request(KEVENT_UNOTIFY, 1, 1);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 1, &event) == -1 && errno == ENOSYS);
  });
}

// The error of a sandbox is the sandbox's.
TEST(OldKernel, AForbiddenAdviceIsTheErrorOfWhoForbidsIt) {
  ExpectChild([] {
    CHILD_CHECK(Refuse(SYS_madvise, EPERM, kAdvice, MADV_WIPEONFORK));
    CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == EPERM);
  });
}

struct Newer {
  const char* name;
  std::function<bool()> refuse;
};
class OldKernels : public testing::TestWithParam<Newer> {};

TEST_P(OldKernels, HaveQueuesAndTimers) {
  ExpectChild([] {
    CHILD_CHECK(GetParam().refuse());
    UseAQueue();
  });
}

// Whichever way it is done.
TEST_P(OldKernels, HaveAsynchronousReads) {
  ExpectChild([] {
    CHILD_CHECK(GetParam().refuse());
    const Queue queue;
    int ends[2];
    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    char byte = 0;
    aiocb control = {};
    control.aio_fildes = ends[0];
    control.aio_buf = &byte;
    control.aio_nbytes = 1;
    kevent_sigevent(&control.aio_sigevent, queue.fd(), &control);
    CHILD_CHECK(aio_read(&control) == 0);
    CHILD_CHECK(write(ends[1], "k", 1) == 1);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(aio_return(&control) == 1 && byte == 'k');
  });
}

std::function<bool()> Without(uint32_t system_call) {
  return [system_call] { return Refuse(system_call, ENOSYS); };
}

std::function<bool()> WithoutAdvice(uint32_t advice) {
  return [advice] { return Refuse(SYS_madvise, EINVAL, kAdvice, advice); };
}

INSTANTIATE_TEST_SUITE_P(Before, OldKernels,
                         testing::Values(Newer{"Linux4_6_preadv2", Without(SYS_preadv2)},
                                         Newer{"Linux5_1_io_uring", Without(SYS_io_uring_setup)},
                                         Newer{"Linux5_3_pidfd", Without(SYS_pidfd_open)},
                                         Newer{"Linux5_3_clone3", Without(SYS_clone3)},
                                         Newer{"Linux5_9_close_range", Without(SYS_close_range)},
                                         Newer{"Linux5_11_epoll_pwait2", Without(SYS_epoll_pwait2)},
                                         Newer{"Linux5_14_POPULATE_WRITE", WithoutAdvice(23)},
                                         Newer{"without_huge_pages", WithoutAdvice(MADV_HUGEPAGE)}),
                         [](const auto& newer) { return std::string(newer.param.name); });

TEST(OldKernel, WithoutPidfdProcessesAreNotWatched) {
  ExpectChild([] {
    CHILD_CHECK(Refuse(SYS_pidfd_open, ENOSYS));
    const Queue queue;
    ukevent event = Request(KEVENT_PROCESS, static_cast<uint64_t>(getpid()), KEVENT_PROCESS_EXIT);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 1, &event) == 1);
    CHILD_CHECK((event.ret_flags & KEVENT_RET_BROKEN) != 0);
    CHILD_CHECK(event.ret_data[1] == static_cast<uint32_t>(-ENOSYS));
  });
}

// As without the library: close_range fails, and closefrom finds another way.
TEST(OldKernel, WithoutCloseRangeQueuesOutliveItAndClosefromSparesThem) {
  ExpectChild([] {
    CHILD_CHECK(Refuse(SYS_close_range, ENOSYS));
    const Queue queue;
    sigevent request;
    kevent_sigevent(&request, queue.fd(), nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
    CHILD_CHECK(close_range(static_cast<unsigned>(queue.fd()), ~0U, 0) == -1 && errno == ENOSYS);
    const int above = queue.fd() + 1;
    CHILD_CHECK(dup2(STDERR_FILENO, above) == above);
    closefrom(above);
    CHILD_CHECK(fcntl(above, F_GETFD) == -1);
    const itimerspec soon = Setting(kMillisecond, 0);
    CHILD_CHECK(timer_settime(timer, 0, &soon, nullptr) == 0);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0) == 1);
  });
}

}  // namespace
}  // namespace kevent_test
