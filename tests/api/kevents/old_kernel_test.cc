// SPDX-License-Identifier: MIT
//
// Memory that cannot be written to, and the status of children, on kernels before
// Linux 5.14 and 5.4 and in sandboxes.

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

constexpr uint32_t kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14

int ErrorOf(int result) { return result == -1 ? errno : 0; }

// Two pages, the second of which cannot be written to.
class Pages {
 public:
  explicit Pages(int protection)
      : size_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
        start_(static_cast<char*>(
            mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_EQ(mprotect(start_ + size_, size_, protection), 0);
  }
  ~Pages() { munmap(start_, 2 * size_); }
  char* boundary() const { return start_ + size_; }
  size_t size() const { return size_; }

 private:
  const size_t size_;
  char* const start_;
};

struct Missing {
  int protection;
  int error;  // of the kernel before it, or of a sandbox
};
class OldKernel : public testing::TestWithParam<Missing> {};

TEST_P(OldKernel, ARingThatCannotBeWrittenToIsRefused) {
  const Pages pages(GetParam().protection);
  ExpectChild([&] {
    CHILD_CHECK(Refuse(SYS_madvise, GetParam().error, 2, kPopulateWrite));
    const auto init = [](void* ring, unsigned num) {
      return ErrorOf(kevent_init(static_cast<kevent_ring*>(ring), num, 0));
    };
    CHILD_CHECK(init(pages.boundary(), 8) == EFAULT);
    CHILD_CHECK(init(pages.boundary() - 64, 8) == EFAULT);
    CHILD_CHECK(init(pages.boundary() - pages.size(), 1U << 20) == EFAULT);
    CHILD_CHECK(init(reinterpret_cast<void*>(pages.size()), 8) == EFAULT);
    const size_t room = sizeof(kevent_ring) + 8 * sizeof(ukevent);
    CHILD_CHECK(kevent_init(reinterpret_cast<kevent_ring*>(pages.boundary() - room), 8, 0) >= 0);
  });
}

TEST_P(OldKernel, EntriesThatCannotBeWrittenToAreRefused) {
  const Pages pages(GetParam().protection);
  auto* entries = reinterpret_cast<ukevent*>(pages.boundary() - 2 * sizeof(ukevent));
  for (int i = 0; i < 2; ++i) entries[i] = Request(KEVENT_UNOTIFY, i, 1);
  ExpectChild([&] {
    CHILD_CHECK(Refuse(SYS_madvise, GetParam().error, 2, kPopulateWrite));
    const Queue queue;
    CHILD_CHECK(ErrorOf(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 3, entries)) == EFAULT);
    // Nothing was done, and what can be written to was left as it was.
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_REMOVE, 1, entries) == 1);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 2, entries) == 0);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_READY, 2, entries) == 2);
  });
}

INSTANTIATE_TEST_SUITE_P(Pages, OldKernel,
                         testing::Values(Missing{PROT_NONE, EINVAL}, Missing{PROT_READ, EINVAL},
                                         Missing{PROT_NONE, EPERM}, Missing{PROT_READ, EPERM}));

// The pidfd of Linux 5.3 says that a process has ended, and waitid not yet how.
TEST(OldKernels, TheStatusOfAChildIsKnown) {
  ExpectChild([] {
    CHILD_CHECK(Refuse(SYS_waitid, EINVAL, 0, 3));  // P_PIDFD
    const Queue queue;
    const pid_t child = fork();
    if (child == 0) _exit(7);
    ukevent event = Request(KEVENT_PROCESS, static_cast<uint64_t>(child), KEVENT_PROCESS_EXIT);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 1, &event) == 0);
    CHILD_CHECK(kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.ret_flags == KEVENT_RET_DONE);
    int status = 0;
    CHILD_CHECK(waitpid(child, &status, 0) == child);
    CHILD_CHECK(event.ret_data[0] == static_cast<uint32_t>(status));
  });
}

}  // namespace
}  // namespace kevent_test
