// SPDX-License-Identifier: MIT
//
// What catches programs: the CAVEATS of kevent(7), and descriptors after exec.

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <set>
#include <string>

#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

void SetNonblocking(int fd, bool nonblocking) {
  const int flags = fcntl(fd, F_GETFL);
  ASSERT_EQ(fcntl(fd, F_SETFL, nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

// Set by somebody on any descriptor of the queue; also where a child has inherited it.
TEST(Traps, ONonblockOfAQueueHasNobodySleep) {
  const Queue queue;
  const Timer timer(queue.fd(), 1);
  const int copy = dup(queue.fd());
  SetNonblocking(copy, true);
  EXPECT_TRUE(Collect(queue.fd(), 1, 1).empty());
  const auto in_child = [&queue](bool sleeps) {
    ExpectChild([&queue, sleeps] {
      CHILD_CHECK(((fcntl(queue.fd(), F_GETFL) & O_NONBLOCK) == 0) == sleeps);
      sigevent request;
      kevent_sigevent(&request, queue.fd(), nullptr);
      timer_t timer;
      CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
      const itimerspec setting = Setting(sleeps ? kMillisecond : kHour);
      CHILD_CHECK(timer_settime(timer, 0, &setting, nullptr) == 0);
      ukevent event;
      const int count = kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0);
      CHILD_CHECK(count == (sleeps ? 1 : 0));
    });
  };
  in_child(false);
  SetNonblocking(queue.fd(), false);
  in_child(true);
  timer.ArmIn(kMillisecond);
  EXPECT_EQ(Collect(queue.fd(), 1, 1).size(), 1);
  close(copy);
}

TEST(Traps, AHandleThatWasCutIsNoTimer) {
  const Queue queue;
  const Timer timer(queue.fd(), 1);
  const auto bits = static_cast<int32_t>(timer.id_bits());
  const uint64_t widened[] = {static_cast<uint64_t>(static_cast<int64_t>(bits)),
                              static_cast<uint32_t>(bits)};
  for (const uint64_t cut : widened) {
    const auto id = reinterpret_cast<timer_t>(cut);
    itimerspec setting = Setting(kHour);
    EXPECT_EQ(timer_settime(id, 0, &setting, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_gettime(id, &setting), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_getoverrun(id), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_delete(id), -1);
    EXPECT_EQ(errno, EINVAL);
  }
}

// The new program asks its own table.
bool IsOpenAfterExec(int fd) {
  const pid_t child = fork();
  if (child == 0) {
    const std::string test = "test -e /proc/self/fd/" + std::to_string(fd);
    execl("/bin/sh", "sh", "-c", test.c_str(), nullptr);
    _exit(126);
  }
  const int status = ExitStatus(child);
  EXPECT_TRUE(status == 0 || status == 1) << status;
  return status == 0;
}

TEST(Traps, DuplicatesAreCloseOnExecIfThatIsAskedFor) {
  const std::set<int> before = OpenDescriptors();
  const Queue queue;
  // With those that the library has for it.
  for (const int fd : OpenDescriptors()) {
    if (before.count(fd) == 0) {
      EXPECT_FALSE(IsOpenAfterExec(fd)) << fd;
    }
  }
  const struct {
    int fd;
    bool stays;
  } copies[] = {
      {dup(queue.fd()), true},
      {dup2(queue.fd(), 100), true},
      {dup3(queue.fd(), 101, 0), true},
      {dup3(queue.fd(), 102, O_CLOEXEC), false},
      {fcntl(queue.fd(), F_DUPFD, 103), true},
      {fcntl(queue.fd(), F_DUPFD_CLOEXEC, 104), false},
  };
  for (const auto& copy : copies) {
    EXPECT_EQ(IsOpenAfterExec(copy.fd), copy.stays) << copy.fd;
    EXPECT_EQ(close(copy.fd), 0);
  }
}

}  // namespace
}  // namespace kevent_test
