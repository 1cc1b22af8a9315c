// SPDX-License-Identifier: MIT
//
// vfork, posix_spawn and exec.  A child of vfork runs in the memory of its
// parent, with descriptors of its own.

#include "tests/support/process.h"

#include <fcntl.h>
#include <spawn.h>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

enum class ChildDoes { kClose, kCloseRange, kCloseCopies, kClosefrom, kReplace, kExec };

// What programs do between vfork and exec.  A function of its own, and without
// locals of interest: what the child changes, the parent finds changed.
__attribute__((noinline)) pid_t Vfork(ChildDoes what, int queue, int copy) {
  static char* const arguments[] = {const_cast<char*>("true"), nullptr};
  const pid_t child = vfork();
  if (child != 0) return child;
  switch (what) {
    case ChildDoes::kClose:
      if (close(queue) != 0) _exit(1);
      break;
    case ChildDoes::kCloseRange:
      if (close(queue) != 0) _exit(1);
      if (close_range(3, ~0U, 0) != 0) _exit(2);
      break;
    case ChildDoes::kCloseCopies:
      if (close(copy) != 0) _exit(1);
      if (close(queue) != 0) _exit(2);
      break;
    case ChildDoes::kClosefrom:
      closefrom(3);
      break;
    case ChildDoes::kReplace:
      if (dup2(0, queue) != queue) _exit(1);
      if (dup2(queue, copy) != copy) _exit(2);
      break;
    case ChildDoes::kExec:
      execv("/bin/true", arguments);
      _exit(1);
  }
  _exit(0);
}

class AfterVfork : public testing::TestWithParam<ChildDoes> {};

TEST_P(AfterVfork, TheParentsQueueWorks) {
  const std::set<int> before = OpenDescriptors();
  {
    Queue queue;
    const int copy = dup(queue.fd());
    Timer expired(queue.fd(), 1);
    Timer armed(queue.fd(), 2);
    Timer realtime(queue.fd(), 3, CLOCK_REALTIME);
    expired.Expire();
    armed.ArmIn(5 * kMillisecond);
    realtime.ArmAt(Now(CLOCK_REALTIME) + 5 * kMillisecond);
    const std::set<int> with_queue = OpenDescriptors();

    for (int i = 0; i < 3; ++i) {
      const pid_t child = Vfork(GetParam(), queue.fd(), copy);
      ASSERT_GT(child, 0);
      EXPECT_EQ(ExitStatus(child), 0);
    }

    EXPECT_EQ(OpenDescriptors(), with_queue);
    EXPECT_EQ(Collect(queue.fd(), 3, 8).size(), 3u);
    for (const int fd : {queue.fd(), copy}) {
      expired.Expire();
      AwaitReadable(fd);
      EXPECT_EQ(CollectReady(fd), std::vector<uintptr_t>{1});
      armed.ArmIn(kMillisecond);
      EXPECT_EQ(Cookies(Collect(fd, 1, 1)), std::vector<uintptr_t>{2});
    }
    // Both numbers still count as names of it.
    EXPECT_EQ(close(copy), 0);
    expired.Expire();
    EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_P(AfterVfork, ASleeperInTheParentIsWoken) {
  Queue queue;
  const int copy = dup(queue.fd());
  Timer timer(queue.fd(), 1);
  Sleeper sleeper(queue.fd(), 1, 1);
  sleeper.AwaitAsleep();
  EXPECT_EQ(ExitStatus(Vfork(GetParam(), queue.fd(), copy)), 0);
  EXPECT_FALSE(sleeper.returned());
  timer.ArmIn(kMillisecond);
  EXPECT_EQ(sleeper.result(), 1);
  close(copy);
}

std::string NameOf(const testing::TestParamInfo<ChildDoes>& test) {
  switch (test.param) {
    case ChildDoes::kClose:
      return "closes";
    case ChildDoes::kCloseRange:
      return "closes_a_range";
    case ChildDoes::kCloseCopies:
      return "closes_copies";
    case ChildDoes::kClosefrom:
      return "closes_from_three";
    case ChildDoes::kReplace:
      return "replaces";
    default:
      return "executes";
  }
}

INSTANTIATE_TEST_SUITE_P(Child, AfterVfork,
                         testing::Values(ChildDoes::kClose, ChildDoes::kCloseRange,
                                         ChildDoes::kCloseCopies, ChildDoes::kClosefrom,
                                         ChildDoes::kReplace, ChildDoes::kExec),
                         NameOf);

TEST(Spawn, LeavesTheParentsQueueAlone) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  timer.ArmIn(5 * kMillisecond);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclose(&actions, queue.fd());
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  char name[] = "true";
  char* arguments[] = {name, nullptr};
  pid_t child;
  ASSERT_EQ(posix_spawn(&child, "/bin/true", &actions, nullptr, arguments, environ), 0);
  EXPECT_EQ(ExitStatus(child), 0);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(Collect(queue.fd(), 1, 1).size(), 1u);
}

// What `ls` finds open when this process executes it.
std::string DescriptorsAfterExec() {
  int output[2];
  EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(output[1], STDOUT_FILENO);
    execl("/bin/ls", "ls", "/proc/self/fd", nullptr);
    _exit(127);
  }
  close(output[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t size; (size = read(output[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(size));
  }
  close(output[0]);
  EXPECT_EQ(ExitStatus(child), 0);
  return text;
}

TEST(Exec, KeepsNoDescriptor) {
  const std::string before = DescriptorsAfterExec();
  ASSERT_FALSE(before.empty());
  Queue queue;
  std::vector<Timer> timers;
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    timers.emplace_back(queue.fd(), 1, clock);
    timers.back().ArmIn(kHour);
  }
  EXPECT_EQ(DescriptorsAfterExec(), before);
  const int copy = fcntl(queue.fd(), F_DUPFD_CLOEXEC, 0);
  EXPECT_EQ(DescriptorsAfterExec(), before);
  close(copy);
}

}  // namespace
}  // namespace kevent_test
