// SPDX-License-Identifier: MIT
//
// KEVENT_SIGNAL, KEVENT_PROCESS and KEVENT_INODE.

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

class Sources : public testing::Test {
 protected:
  const Queue queue_;
  const int fd_ = queue_.fd();
};

// ---- Signals ------------------------------------------------------------------

class Blocked {
 public:
  explicit Blocked(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~Blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

ukevent SignalRequest(uint64_t signal, uint32_t req_flags = 0) {
  return Request(KEVENT_SIGNAL, signal, KEVENT_SIGNAL_DELIVERY, req_flags, 6);
}

bool Pending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

TEST_F(Sources, ABlockedSignalIsTakenWhenItIsCollected) {
  const Blocked blocked(SIGUSR1);
  ASSERT_EQ(Add(fd_, SignalRequest(SIGUSR1)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  for (int i = 0; i < 3; ++i) {
    kill(getpid(), SIGUSR1);
    EXPECT_TRUE(Pending(SIGUSR1));
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, KEVENT_SIGNAL);
    EXPECT_EQ(events[0].id.raw_u64, SIGUSR1);
    EXPECT_EQ(events[0].ret_data[0], 1);
    EXPECT_EQ(events[0].ret_data[1], static_cast<uint32_t>(getpid()));
    EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(6));
    EXPECT_FALSE(Pending(SIGUSR1));
  }
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Sources, QueuedSignalsAreCounted) {
  const Blocked blocked(SIGRTMIN);
  ASSERT_EQ(Add(fd_, SignalRequest(static_cast<uint64_t>(SIGRTMIN))), 0);
  for (int i = 0; i < 5; ++i) kill(getpid(), SIGRTMIN);
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], 5);
}

TEST_F(Sources, WhatWasTakenElsewhereIsNoEvent) {
  const Blocked blocked(SIGUSR1);
  ASSERT_EQ(Add(fd_, SignalRequest(SIGUSR1)), 0);
  kill(getpid(), SIGUSR1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int signal = 0;
  sigwait(&set, &signal);
  EXPECT_TRUE(Take(fd_).empty());
}

// Whoever is first has the signal: two who wait for it are one event.
TEST_F(Sources, ASignalIsOneEventHoweverManyWaitForIt) {
  const Blocked blocked(SIGUSR1);
  for (uintptr_t cookie = 1; cookie <= 2; ++cookie) {
    ukevent request = SignalRequest(SIGUSR1);
    request.ptr = reinterpret_cast<void*>(cookie);
    ASSERT_EQ(Add(fd_, request), 0);
  }
  ASSERT_EQ(raise(SIGUSR1), 0);
  constexpr Nanos kPatience = 20 * kMillisecond;
  const Nanos before = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Take(fd_, 2, 8, kPatience).size(), 1);
  EXPECT_GE(Now(CLOCK_MONOTONIC) - before, kPatience);
}

TEST_F(Sources, SignalsThatCannotBe) {
  EXPECT_EQ(Add(fd_, SignalRequest(SIGUSR1)), -EINVAL) << "not blocked";
  const Blocked blocked(SIGUSR1);
  EXPECT_EQ(Add(fd_, SignalRequest(0)), -EINVAL);
  EXPECT_EQ(Add(fd_, SignalRequest(65)), -EINVAL);
  EXPECT_EQ(Add(fd_, SignalRequest(SIGKILL)), -EINVAL);
  EXPECT_EQ(Add(fd_, SignalRequest(SIGUSR1 | KEVENT_SIGNAL_NOMASK)), -EOPNOTSUPP);
  EXPECT_EQ(Add(fd_, SignalRequest(SIGUSR1)), 0);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, SignalRequest(SIGUSR1)), 0);
}

// ---- Processes ------------------------------------------------------------------

ukevent ProcessRequest(pid_t process) {
  return Request(KEVENT_PROCESS, static_cast<uint32_t>(process), KEVENT_PROCESS_EXIT, 0, 5);
}

TEST_F(Sources, TheEndOfAChildAndItsStatus) {
  for (const int end : {0, 3, -SIGTERM}) {
    int gate[2];
    ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte;
      close(gate[1]);
      (void)!read(gate[0], &byte, 1);
      if (end < 0) raise(-end);
      _exit(end);
    }
    close(gate[0]);
    ASSERT_EQ(Add(fd_, ProcessRequest(child)), 0);
    EXPECT_TRUE(Take(fd_).empty());
    close(gate[1]);
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, KEVENT_PROCESS);
    EXPECT_EQ(events[0].id.raw[0], static_cast<uint32_t>(child));
    EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE);
    int status = -1;  // it was not reaped
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(events[0].ret_data[0], static_cast<uint32_t>(status));
    EXPECT_EQ(events[0].ret_data[1], KEVENT_PROCESS_EXIT);
    EXPECT_TRUE(Take(fd_).empty());
  }
}

// A call that waits for several has counted the end; READY does not report it.
TEST_F(Sources, TheEndOfAChildIsReportedAfterAnEventThatIsMade) {
  const pid_t child = fork();
  if (child == 0) _exit(7);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  const ukevent user = Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT);
  ASSERT_EQ(Add(fd_, ProcessRequest(child)), 0);
  ASSERT_EQ(Add(fd_, user), 0);
  std::vector<ukevent> events;
  Thread waits([&] { events = Take(fd_, 2); });
  waits.AwaitAsleep();
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, ProcessRequest(child)), 0);
  EXPECT_TRUE(Inject(fd_, ProcessRequest(child)));
  EXPECT_TRUE(Inject(fd_, user));
  waits.Join();
  const auto ends = [](const ukevent& event) { return event.ret_data[1] == KEVENT_PROCESS_EXIT; };
  auto end = std::find_if(events.begin(), events.end(), ends);
  if (end == events.end()) {
    events = Take(fd_, 1);
    end = std::find_if(events.begin(), events.end(), ends);
  }
  ASSERT_NE(end, events.end());
  EXPECT_EQ(WEXITSTATUS(end->ret_data[0]), 7);
  EXPECT_EQ(end->ret_flags, KEVENT_RET_DONE);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(Sources, TheEndOfAChildThatWasReaped) {
  const pid_t child = fork();
  if (child == 0) _exit(1);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(Add(fd_, ProcessRequest(child)), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE | KEVENT_RET_NO_STATUS);
  EXPECT_EQ(Add(fd_, ProcessRequest(child)), -ESRCH);
}

// A grandchild is somebody else's to wait for.
TEST_F(Sources, TheEndOfAProcessThatIsNoChild) {
  int gate[2];
  int report[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(report, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      char byte;
      close(gate[1]);
      (void)!read(gate[0], &byte, 1);
      _exit(9);
    }
    (void)!write(report[1], &grandchild, sizeof grandchild);
    _exit(0);
  }
  pid_t grandchild = 0;
  ASSERT_EQ(read(report[0], &grandchild, sizeof grandchild), ssize_t{sizeof grandchild});
  ASSERT_EQ(Add(fd_, ProcessRequest(grandchild)), 0);
  close(gate[0]);
  close(gate[1]);
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE | KEVENT_RET_NO_STATUS);
  waitpid(child, nullptr, 0);
  close(report[0]);
  close(report[1]);
}

// Whoever it is, and whatever a question about its status would be answered.
TEST_F(Sources, AProcessThatLivesIsNotReportedAsEnded) {
  for (const pid_t process : {pid_t{1}, getppid(), getpid()}) {
    ukevent request = ProcessRequest(process);
    request.req_flags = KEVENT_REQ_LAST_CHECK;
    ASSERT_EQ(Add(fd_, request), 0);
    ASSERT_TRUE(Inject(fd_, request));
    EXPECT_TRUE(Take(fd_).empty());
    EXPECT_TRUE(Inject(fd_, request));  // it is still there
    ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, request), 0);
    // Unasked, an event that says so.
    ASSERT_EQ(Add(fd_, ProcessRequest(process)), 0);
    ASSERT_TRUE(Inject(fd_, ProcessRequest(process)));
    const auto events = Take(fd_);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE);
    EXPECT_EQ(events[0].ret_data[0], 0);
    EXPECT_EQ(events[0].ret_data[1], 0);
    ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, ProcessRequest(process)), 0);
  }
}

// One that ends without SIGCHLD is a child as well.
TEST_F(Sources, TheEndOfAChildOfClone) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  const auto child = static_cast<pid_t>(syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    char byte;
    syscall(SYS_close, gate[1]);
    syscall(SYS_read, gate[0], &byte, 1);
    syscall(SYS_exit_group, 7);
  }
  close(gate[0]);
  ukevent request = ProcessRequest(child);
  request.req_flags = KEVENT_REQ_LAST_CHECK | KEVENT_REQ_READY;
  ASSERT_EQ(Add(fd_, request), 0);
  EXPECT_TRUE(Take(fd_).empty());
  close(gate[1]);
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, __WALL), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(events[0].ret_data[0], static_cast<uint32_t>(status));
}

TEST_F(Sources, ProcessesThatCannotBe) {
  EXPECT_EQ(Add(fd_, ProcessRequest(0)), -EINVAL);
  EXPECT_EQ(Add(fd_, ProcessRequest(-1)), -EINVAL);
  EXPECT_EQ(Add(fd_, ProcessRequest(0x3fffffff)), -ESRCH);
}

// ---- Directories and files --------------------------------------------------------

class Inodes : public Sources {
 protected:
  Inodes() {
    std::string name = "/tmp/kevent_test.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
    directory_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~Inodes() override {
    close(directory_);
    EXPECT_EQ(system(("rm -rf " + path_).c_str()), 0);
  }
  int Create(const char* name) const {
    return openat(directory_, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  }
  int AddInode(int fd, uint32_t events, uintptr_t cookie = 0) const {
    return Add(fd_, DescriptorRequest(KEVENT_INODE, fd, events, 0, cookie));
  }
  std::string path_;
  int directory_;
};

TEST_F(Inodes, WhatComesAndGoesIsCounted) {
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE, 3), 0);
  EXPECT_TRUE(Take(fd_).empty());
  for (const char* name : {"a", "b", "c"}) close(Create(name));
  auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].type, KEVENT_INODE);
  EXPECT_EQ(events[0].id.raw[0], static_cast<uint32_t>(directory_));
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(3));
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_CREATE);
  EXPECT_EQ(events[0].ret_data[1], 3);
  EXPECT_TRUE(Take(fd_).empty());
  unlinkat(directory_, "a", 0);
  close(Create("d"));
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE);
  EXPECT_EQ(events[0].ret_data[1], 2);
}

TEST_F(Inodes, SeveralWatchOneDirectoryForDifferentThings) {
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_CREATE, 1), 0);
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_REMOVE, 2), 0);
  close(Create("a"));
  auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(1));
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, DescriptorRequest(KEVENT_INODE, directory_, 0, 0, 1)),
            0);
  unlinkat(directory_, "a", 0);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(2));
}

// What happened before is that of those who were there, and collected by them.
TEST_F(Inodes, WhatHappenedBeforeIsNotReported) {
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_CREATE, 1), 0);
  close(Create("before"));
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_CREATE, 2), 0);
  auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(1));

  close(Create("between"));
  const auto second = DescriptorRequest(KEVENT_INODE, directory_, KEVENT_INODE_CREATE, 0, 2);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, second), 0);
  close(Create("after"));
  events = Take(fd_);
  ASSERT_EQ(events.size(), 2);
  for (const ukevent& event : events) {
    EXPECT_EQ(event.ret_data[1], event.ptr == reinterpret_cast<void*>(1) ? 2 : 1);
  }
  close(Create("last"));
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, second), 0);
  ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, second), 0);
  ASSERT_EQ(AddInode(directory_, KEVENT_INODE_CREATE, 2), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Inodes, AFilesContentsAttributesAndEnd) {
  const int file = Create("file");
  const uint32_t all = KEVENT_INODE_MODIFY | KEVENT_INODE_ATTRIB | KEVENT_INODE_SELF;
  ASSERT_EQ(AddInode(file, all), 0);
  ASSERT_EQ(write(file, "x", 1), 1);
  auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_MODIFY);
  fchmod(file, 0400);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_ATTRIB);
  EXPECT_EQ(
      Control(fd_, KEVENT_CTL_MODIFY, DescriptorRequest(KEVENT_INODE, file, KEVENT_INODE_SELF, 0)),
      0);
  ASSERT_EQ(write(file, "x", 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  unlinkat(directory_, "file", 0);
  close(file);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE | KEVENT_RET_BROKEN);
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Inodes, ThoseThatCannotBe) {
  const int file = Create("file");
  EXPECT_EQ(AddInode(file, KEVENT_INODE_CREATE), -ENOTDIR);
  EXPECT_EQ(AddInode(-1, KEVENT_INODE_CREATE), -EBADF);
  EXPECT_EQ(AddInode(987'654, KEVENT_INODE_CREATE), -EBADF);
  EXPECT_EQ(AddInode(directory_, 0x4), -EINVAL);
  close(file);
}

}  // namespace
}  // namespace kevent_test
