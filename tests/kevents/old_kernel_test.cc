// SPDX-License-Identifier: MIT
//
// What kernels before Linux 5.14 and 5.4 do not have, as a seccomp filter makes it seem:
// in a child of fork, whose filter is its own.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// From then on this system call is EINVAL when its argument has this value.
bool Forget(uint32_t system_call, unsigned argument, uint32_t value) {
  const auto low_half = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof code / sizeof code[0], code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool ForgetPopulateWrite() { return Forget(SYS_madvise, 2, 23); }  // MADV_POPULATE_WRITE

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

class OldKernel : public testing::TestWithParam<int> {};

TEST_P(OldKernel, ARingThatCannotBeWrittenToIsRefused) {
  const Pages pages(GetParam());
  ExpectChild([&] {
    CHILD_CHECK(ForgetPopulateWrite());
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
  const Pages pages(GetParam());
  auto* entries = reinterpret_cast<ukevent*>(pages.boundary() - 2 * sizeof(ukevent));
  for (int i = 0; i < 2; ++i) entries[i] = Request(KEVENT_UNOTIFY, i, 1);
  ExpectChild([&] {
    CHILD_CHECK(ForgetPopulateWrite());
    const Queue queue;
    CHILD_CHECK(ErrorOf(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 3, entries)) == EFAULT);
    // Nothing was done, and what can be written to was left as it was.
    CHILD_CHECK(ErrorOf(kevent_ctl(queue.fd(), KEVENT_CTL_REMOVE, 1, entries)) == EINVAL);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 2, entries) == 0);
    CHILD_CHECK(kevent_ctl(queue.fd(), KEVENT_CTL_READY, 2, entries) == 2);
  });
}

INSTANTIATE_TEST_SUITE_P(Pages, OldKernel, testing::Values(PROT_NONE, PROT_READ));

// The pidfd of Linux 5.3 says that a process has ended, and waitid not yet how.
TEST(OldKernels, TheStatusOfAChildIsKnown) {
  ExpectChild([] {
    CHILD_CHECK(Forget(SYS_waitid, 0, 3));  // P_PIDFD
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
