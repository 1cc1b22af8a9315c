// SPDX-License-Identifier: MIT
//
// vfork: a child that runs in our memory, with descriptors
// of its own, closes and replaces them as children do before exec; the parent's
// queue works on.

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "tests/support/kernel_view.h"

namespace kevent_test {
namespace {

constexpr uintptr_t kDue = 1;

// What a child does; it returns its exit status.
using Child = int (*)(const OpenedQueue&);

const struct {
  const char* name;
  Child run;
} kChildren[] = {
    {"close", [](const OpenedQueue& queue) { return close(queue.fd()); }},
    {"close of a number inside",
     [](const OpenedQueue& queue) {
       return close(queue.timerfd()) | close(queue.always_ready()) | close(queue.epoll());
     }},
    {"dup2 over it",
     [](const OpenedQueue& queue) {
       return dup2(STDERR_FILENO, queue.fd()) == queue.fd() ? 0 : 1;
     }},
    {"dup2 over numbers inside",
     [](const OpenedQueue& queue) {
       return dup2(STDERR_FILENO, queue.timerfd()) == queue.timerfd() &&
                      dup3(STDERR_FILENO, queue.epoll(), O_CLOEXEC) == queue.epoll()
                  ? 0
                  : 1;
     }},
    {"close_range", [](const OpenedQueue&) { return close_range(3, ~0U, 0); }},
    {"close_range with CLOEXEC",
     [](const OpenedQueue&) { return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); }},
    {"closefrom",
     [](const OpenedQueue& queue) {
       closefrom(3);
       return fcntl(queue.fd(), F_GETFD) == -1 && fcntl(queue.epoll(), F_GETFD) == -1 ? 0 : 1;
     }},
    {"copies",
     [](const OpenedQueue& queue) {
       const int copy = dup(queue.fd());
       return copy >= 0 && close(copy) == 0 && dup2(queue.fd(), 200) == 200 &&
                      fcntl(queue.fd(), F_DUPFD_CLOEXEC, 300) >= 300
                  ? 0
                  : 1;
     }},
};

void ExpectWorks(const OpenedQueue& queue, const Timer& due) {
  EXPECT_TRUE(Readable(queue.fd()));
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
  EXPECT_FALSE(Readable(queue.fd()));
  due.ArmIn(50 * kMicrosecond);
  AwaitReadable(queue.fd());
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
  due.Expire();
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
}

// Has `run_child` run each of the children, and uses the queue afterwards.
template <typename RunChild>
void ForEachChild(RunChild run_child) {
  for (const auto& child : kChildren) {
    SCOPED_TRACE(child.name);
    OpenedQueue queue;
    const Timer due(queue.fd(), kDue);
    const Timer far(queue.fd(), 0);
    far.ArmIn(kHour);
    due.Expire();
    const std::set<int> open = OpenDescriptors();
    EXPECT_EQ(run_child(child.run, queue), 0);
    EXPECT_EQ(OpenDescriptors(), open);
    ExpectWorks(queue, due);
    // Its close ends it: no name was counted for the child's copies.
    queue.CloseWhole();
  }
}

TEST(Vfork, ChildLeavesTheQueueAlone) {
  ForEachChild([](Child child, const OpenedQueue& queue) {
    const pid_t process = vfork();
    if (process == 0) _exit(child(queue));
    return ExitStatus(process);
  });
}

// As posix_spawn makes its children, on a stack of their own.
TEST(Vfork, ClonedChildLeavesTheQueueAlone) {
  struct Arguments {
    Child child;
    const OpenedQueue& queue;
  };
  ForEachChild([](Child child, const OpenedQueue& queue) {
    alignas(16) static std::array<char, 1 << 18> s_stack;
    Arguments arguments = {child, queue};
    const pid_t process = clone(
        [](void* argument) {
          const auto* arguments_of = static_cast<const Arguments*>(argument);
          return arguments_of->child(arguments_of->queue);
        },
        s_stack.data() + s_stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD, &arguments);
    return ExitStatus(process);
  });
}

TEST(Vfork, SpawnedProgramHasNoDescriptorOfTheQueues) {
  OpenedQueue queue;
  const Timer due(queue.fd(), kDue);
  due.Expire();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclose(&actions, queue.fd());
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, queue.timerfd());
  const std::string script = "test ! -e /proc/self/fd/" + std::to_string(queue.fd()) +
                             " && test ! -e /proc/self/fd/" + std::to_string(queue.epoll());
  std::string arguments[] = {"sh", "-c", script};
  char* const argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  pid_t process = -1;
  EXPECT_EQ(posix_spawn(&process, "/bin/sh", &actions, nullptr, argv, environ), 0);
  EXPECT_EQ(ExitStatus(process), 0);
  posix_spawn_file_actions_destroy(&actions);
  ExpectWorks(queue, due);
}

}  // namespace
}  // namespace kevent_test
