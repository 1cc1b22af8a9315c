// SPDX-License-Identifier: MIT
//
// What event loops ask of kevent_ctl: one command that adds or modifies, kevents named by id alone,
// kevents that pause and go on without losing what came meanwhile.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
constexpr uint32_t kOut = KEVENT_POLL_POLLOUT;
constexpr unsigned kAddOrModify = KEVENT_CTL_ADD | KEVENT_CTL_REPLACE | KEVENT_CTL_BY_ID;

ukevent User(uint64_t id, uintptr_t cookie = 0, uint32_t req_flags = 0) {
  return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, req_flags, cookie);
}

class Loops : public testing::Test {
 protected:
  Loops() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0); }
  ~Loops() override {
    for (const int end : ends_) {
      if (end >= 0) close(end);
    }
  }
  int Do(unsigned command, ukevent request) const {
    if (kevent_ctl(fd_, command, 1, &request) < 0) return -errno;
    return ResultOf(request);
  }
  ukevent Poll(uint32_t event, uint32_t req_flags = KEVENT_REQ_ALWAYS_QUEUE,
               uintptr_t cookie = 1) const {
    return DescriptorRequest(KEVENT_POLL, ends_[0], event, req_flags, cookie);
  }
  void Send(const std::string& text = "x") const {
    EXPECT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  const Queue queue_;
  const int fd_ = queue_.fd();
  std::array<int, 2> ends_ = {-1, -1};
};

// ---- Add or modify, by id ----------------------------------------------------------

TEST_F(Loops, OneCommandAddsAndModifies) {
  EXPECT_EQ(Do(KEVENT_CTL_ADD | KEVENT_CTL_REPLACE, Poll(kIn)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_ADD, Poll(kIn)), -EEXIST);
  EXPECT_EQ(Do(KEVENT_CTL_ADD | KEVENT_CTL_REPLACE, Poll(kOut)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], kOut);
  // Another cookie is another kevent.
  EXPECT_EQ(Do(KEVENT_CTL_ADD | KEVENT_CTL_REPLACE, Poll(kOut, KEVENT_REQ_ALWAYS_QUEUE, 2)), 0);
  EXPECT_EQ(Take(fd_).size(), 2);
}

TEST_F(Loops, ByIdTheCookieIsReplaced) {
  EXPECT_EQ(Do(KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID, Poll(kOut)), -ENOENT);
  EXPECT_EQ(Do(kAddOrModify, Poll(kOut, KEVENT_REQ_ALWAYS_QUEUE, 1)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_ADD | KEVENT_CTL_BY_ID, Poll(kOut, 0, 2)), -EEXIST);
  for (const unsigned command : {kAddOrModify, unsigned{KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID}}) {
    for (const uintptr_t cookie : {7, 8, 8}) {
      EXPECT_EQ(Do(command, Poll(kOut, KEVENT_REQ_ALWAYS_QUEUE, cookie)), 0);
      const auto events = Take(fd_);
      ASSERT_EQ(events.size(), 1);
      EXPECT_EQ(Cookie(events[0]), cookie);
    }
  }
  // It is found by the new cookie, and by the old one no more.
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE, Poll(kOut, 0, 1)), -ENOENT);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE, Poll(kOut, 0, 8)), 0);
  EXPECT_EQ(Do(kAddOrModify, Poll(kOut, KEVENT_REQ_ALWAYS_QUEUE, 1)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE | KEVENT_CTL_BY_ID, Poll(0, 0, 99)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE | KEVENT_CTL_BY_ID, Poll(0, 0, 99)), -ENOENT);
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Loops, ByIdSeveralAreNotOne) {
  for (const uintptr_t cookie : {1, 2, 3}) ASSERT_EQ(Do(KEVENT_CTL_ADD, User(5, cookie)), 0);
  ASSERT_EQ(Do(KEVENT_CTL_ADD, User(6, 1)), 0);
  const std::array<unsigned, 5> commands = {KEVENT_CTL_ADD, KEVENT_CTL_ADD | KEVENT_CTL_REPLACE,
                                            KEVENT_CTL_MODIFY, KEVENT_CTL_REMOVE, KEVENT_CTL_READY};
  for (const unsigned command : commands) {
    EXPECT_EQ(Do(command | KEVENT_CTL_BY_ID, User(5, 2)), -ENOTUNIQ) << command;
  }
  EXPECT_EQ(Do(KEVENT_CTL_READY | KEVENT_CTL_BY_ID, User(6, 99)), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE, User(5, 2)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE, User(5, 1)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID, User(5, 9)), 0);
  EXPECT_EQ(Do(KEVENT_CTL_READY, User(5, 9)), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
}

// A descriptor that was closed takes its kevents with it, also several.
TEST_F(Loops, ByIdTheKeventsOfAClosedDescriptorDoNotCount) {
  for (const uintptr_t cookie : {1, 2, 3}) {
    ASSERT_EQ(Do(KEVENT_CTL_ADD, Poll(kIn, KEVENT_REQ_ALWAYS_QUEUE, cookie)), 0);
  }
  const int number = ends_[0];
  close(ends_[0]);
  close(ends_[1]);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
  ASSERT_EQ(ends_[0], number);
  EXPECT_EQ(Do(kAddOrModify, Poll(kOut, KEVENT_REQ_ALWAYS_QUEUE, 4)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(Cookie(events[0]), 4);
}

// A file that is always ready is not watched by its number: the next one that has the number is.
TEST_F(Loops, OneCommandNoticesThatANumberIsAnothersByNow) {
  const int file = memfd_create("kevent", MFD_CLOEXEC);
  ASSERT_GE(file, 0);
  const auto request = [file] {
    return DescriptorRequest(KEVENT_POLL, file, kIn, KEVENT_REQ_ALWAYS_QUEUE, 1);
  };
  ASSERT_EQ(Do(kAddOrModify, request()), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_EQ(Do(kAddOrModify, request()), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_EQ(dup2(ends_[0], file), file);
  EXPECT_EQ(Do(KEVENT_CTL_MODIFY, request()), -ENOENT);
  ASSERT_EQ(Do(kAddOrModify, request()), 0);
  EXPECT_TRUE(Take(fd_).empty());
  Send();
  EXPECT_EQ(Take(fd_).size(), 1);
  close(file);
}

// ---- Add or modify, when the number is another file's ------------------------------

struct Change {
  bool seen;  // the number is closed by a call that the library sees
  uint32_t req_flags;
  uintptr_t cookie;
};

class OfAnotherFile : public Loops, public testing::WithParamInterface<Change> {
 protected:
  void Close() const {
    ASSERT_EQ(GetParam().seen ? close(ends_[0]) : static_cast<int>(syscall(SYS_close, ends_[0])),
              0);
  }
  void MakeOthers() {
    const int number = ends_[0];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
    ASSERT_EQ(ends_[0], number);
  }
  ukevent Watch(uintptr_t cookie) const { return Poll(kIn, GetParam().req_flags, cookie); }
};

TEST_P(OfAnotherFile, TheKeventIsReplaced) {
  ASSERT_EQ(Do(kAddOrModify, Watch(1)), 0);
  const int same_file = dup(ends_[0]);
  const int peer = ends_[1];
  Close();
  MakeOthers();
  ASSERT_EQ(Do(kAddOrModify, Watch(GetParam().cookie)), 0);
  EXPECT_EQ(write(peer, "x", 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  Send();
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(Cookie(events[0]), GetParam().cookie);
  close(same_file);
  close(peer);
}

TEST_P(OfAnotherFile, OrOfNoneTheKeventIsGone) {
  ASSERT_EQ(Do(kAddOrModify, Watch(1)), 0);
  Close();
  EXPECT_EQ(Do(kAddOrModify, Watch(GetParam().cookie)), -EBADF);
  EXPECT_EQ(Do(KEVENT_CTL_REMOVE | KEVENT_CTL_BY_ID, Watch(1)), -ENOENT);
  ends_[0] = -1;
}

constexpr uint32_t kDispatch = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH;
INSTANTIATE_TEST_SUITE_P(Numbers, OfAnotherFile,
                         testing::Values(Change{true, KEVENT_REQ_ALWAYS_QUEUE, 1},
                                         Change{true, kDispatch, 2}, Change{false, kDispatch, 1},
                                         Change{false, KEVENT_REQ_ALWAYS_QUEUE, 2}));

// ---- Pausing -----------------------------------------------------------------------

TEST_F(Loops, AnEmptyMaskPausesADescriptor) {
  for (const uint32_t flags :
       {uint32_t{KEVENT_REQ_ALWAYS_QUEUE}, uint32_t{KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_ET}}) {
    const Queue queue;
    ASSERT_EQ(Add(queue.fd(), Poll(0, flags)), 0);
    Send();
    EXPECT_TRUE(Take(queue.fd()).empty());
    EXPECT_FALSE(Readable(queue.fd()));
    ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY, Poll(kIn, flags)), 0);
    EXPECT_TRUE(Readable(queue.fd()));
    EXPECT_EQ(Take(queue.fd()).size(), 1);
    Send();
    ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY, Poll(0, flags)), 0);
    EXPECT_TRUE(Take(queue.fd()).empty());
    EXPECT_FALSE(Readable(queue.fd()));
    ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY, Poll(kIn, flags)), 0);
    EXPECT_EQ(Take(queue.fd()).size(), 1);
    ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_REMOVE, Poll(0, flags)), 0);
    char bytes[8];
    EXPECT_EQ(read(ends_[0], bytes, sizeof bytes), 2);
  }
}

// A hang-up, of which epoll tells unasked, wakes nobody twice, and is reported afterwards.
TEST_F(Loops, APausedDescriptorDoesNotTellOfItsHangUp) {
  ASSERT_EQ(Add(fd_, Poll(0)), 0);
  close(std::exchange(ends_[1], -1));
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  const timespec soon = ToTimespec(20 * kMillisecond);
  ukevent event;
  EXPECT_EQ(kevent_get_events(fd_, 1, 1, &soon, &event, 0), 0);
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, Poll(kIn)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], kIn | KEVENT_POLL_POLLHUP);
}

TEST_F(Loops, DispatchPausesAfterEachReport) {
  const uint32_t flags = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH;
  for (const uint32_t edge : {0u, uint32_t{KEVENT_REQ_ET}}) {
    const Queue queue;
    ASSERT_EQ(Add(queue.fd(), Poll(kOut, flags | edge)), 0);
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(Readable(queue.fd()));
      EXPECT_EQ(Take(queue.fd()).size(), 1);
      EXPECT_TRUE(Take(queue.fd()).empty());
      EXPECT_FALSE(Readable(queue.fd()));
      ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY, Poll(kOut, flags | edge)), 0);
    }
    // Back to a kevent that does not pause.
    ASSERT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY, Poll(kOut)), 0);
    EXPECT_EQ(Take(queue.fd()).size(), 1);
    EXPECT_EQ(Take(queue.fd()).size(), 1);
  }
}

// Its source had ceased to be ready: it has not paused.
TEST_F(Loops, DispatchThatIsCheckedInVainGoesOn) {
  ASSERT_EQ(
      Add(fd_, Poll(kIn, KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH | KEVENT_REQ_LAST_CHECK)),
      0);
  // A collection that has no room for it finds it, and keeps it.
  ASSERT_EQ(Add(fd_, User(1)), 0);
  char byte;
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Inject(fd_, User(1)));
    Send();
    EXPECT_EQ(Take(fd_, 1, 1).size(), 1);
    EXPECT_EQ(read(ends_[0], &byte, 1), 1);
    EXPECT_LE(Take(fd_).size(), 1);
    ASSERT_EQ(
        Control(fd_, KEVENT_CTL_MODIFY,
                Poll(kIn, KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH | KEVENT_REQ_LAST_CHECK)),
        0);
  }
  // Found, and nothing there any more when two are waited for.
  Send();
  EXPECT_TRUE(Readable(fd_));
  ASSERT_TRUE(Inject(fd_, Poll(kIn)));
  EXPECT_EQ(read(ends_[0], &byte, 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  Send();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

// More are ready than a collection has room for: each is reported once, and none is lost.
TEST_F(Loops, DispatchReportsEachOfManyOnce) {
  constexpr size_t kMany = 100;
  std::vector<std::array<int, 2>> pipes(kMany);
  const uint32_t flags = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH;
  for (size_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(pipe2(pipes[i].data(), O_CLOEXEC), 0);
    // Several on one descriptor, each on its own.
    for (const uintptr_t more : {0, 1000}) {
      ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_POLL, pipes[i][1], kOut, flags, i + more)), 0);
    }
  }
  std::vector<uintptr_t> seen;
  for (;;) {
    const auto events = Take(fd_, 0, 7);
    if (events.empty()) break;
    for (const ukevent& event : events) seen.push_back(Cookie(event));
  }
  std::sort(seen.begin(), seen.end());
  ASSERT_EQ(seen.size(), 2 * kMany);
  for (size_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(seen[i], i);
    EXPECT_EQ(seen[kMany + i], 1000 + i);
  }
  for (const auto& ends : pipes) {
    for (const int end : ends) close(end);
  }
}

TEST_F(Loops, WhatWasMadeReadyWhilePausedComesAfterwards) {
  ASSERT_EQ(Add(fd_, User(1, 0, KEVENT_REQ_DISPATCH)), 0);
  ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_TRUE(Inject(fd_, User(1)));
  ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, User(1)), 0);
  EXPECT_TRUE(Readable(fd_));
  EXPECT_EQ(Take(fd_).size(), 1);
  EXPECT_TRUE(Take(fd_).empty());
  // Ready, and then paused before it was collected.
  ASSERT_TRUE(Inject(fd_, User(1)));
  ukevent paused = User(1);
  paused.event = KEVENT_MASK_EMPTY;
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, paused), 0);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, User(1)), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Loops, ASignalStaysPendingWhilePaused) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const auto signal = [](uint32_t event, uint32_t flags = 0) {
    return Request(KEVENT_SIGNAL, SIGUSR1, event, flags);
  };
  ASSERT_EQ(Add(fd_, signal(KEVENT_SIGNAL_DELIVERY, KEVENT_REQ_DISPATCH)), 0);
  raise(SIGUSR1);
  EXPECT_EQ(Take(fd_).size(), 1);
  raise(SIGUSR1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, signal(KEVENT_SIGNAL_DELIVERY)), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, signal(0)), 0);
  raise(SIGUSR1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  // Others of the same signal go on.
  ukevent other = signal(KEVENT_SIGNAL_DELIVERY);
  other.ptr = &other;
  ASSERT_EQ(Add(fd_, other), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, signal(0)), 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Loops, AProcessThatEndsWhilePausedIsReportedAfterwards) {
  const pid_t child = fork();
  if (child == 0) _exit(7);
  const auto process = [child](uint32_t event) {
    return Request(KEVENT_PROCESS, static_cast<uint64_t>(child), event);
  };
  ASSERT_EQ(Add(fd_, process(0)), 0);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, process(KEVENT_PROCESS_EXIT)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(WEXITSTATUS(static_cast<int>(events[0].ret_data[0])), 7);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(Loops, ATimersExpirationsAreCountedWhilePaused) {
  const uint64_t period = uint64_t{1'000'000} << 32;  // 1 ms
  const auto timer = [=](uint32_t event, uint32_t flags = 0) {
    return Request(KEVENT_TIMER, period, event, flags);
  };
  const Nanos begin = Now(CLOCK_MONOTONIC);
  ASSERT_EQ(Add(fd_, timer(KEVENT_TIMER_FIRED, KEVENT_REQ_DISPATCH)), 0);
  const auto first = Take(fd_, 1, 1);
  ASSERT_EQ(first.size(), 1);
  const timespec while_paused = ToTimespec(20 * kMillisecond);
  ukevent event;
  EXPECT_EQ(kevent_get_events(fd_, 1, 1, &while_paused, &event, 0), 0);
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, timer(KEVENT_TIMER_FIRED)), 0);
  const auto second = Take(fd_, 1, 1);
  ASSERT_EQ(second.size(), 1);
  EXPECT_GE(second[0].ret_data[0], 18);
  const uint64_t expired = uint64_t{first[0].ret_data[0]} + second[0].ret_data[0] + 2;
  EXPECT_LE(expired, (Now(CLOCK_MONOTONIC) - begin) / kMillisecond);
}

TEST_F(Loops, ChangesOfAFileAreCountedWhilePaused) {
  std::string name = testing::TempDir() + "/kevent.XXXXXX";
  const int file = mkstemp(name.data());
  ASSERT_GE(file, 0);
  unlink(name.c_str());
  const auto inode = [file](uint32_t event, uint32_t flags = 0) {
    return Request(KEVENT_INODE, static_cast<uint64_t>(file), event, flags);
  };
  ASSERT_EQ(Add(fd_, inode(KEVENT_INODE_MODIFY, KEVENT_REQ_DISPATCH)), 0);
  EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_EQ(Take(fd_, 1, 1).size(), 1);
  EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(KEVENT_INODE_MODIFY)), 0);
  const auto events = Take(fd_, 1, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_MODIFY);
  // What is waited for by nobody, is nobody's.
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(0)), 0);
  EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_TRUE(Take(fd_).empty());
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(KEVENT_INODE_MODIFY)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  close(file);
}

// Its last event is kept, whatever is changed meanwhile.
TEST_F(Loops, AFileThatGoesWhilePausedIsReportedAfterwards) {
  std::string name = testing::TempDir() + "/kevent.XXXXXX";
  const int file = mkstemp(name.data());
  ASSERT_GE(file, 0);
  const auto inode = [file](uint32_t event) {
    return Request(KEVENT_INODE, static_cast<uint64_t>(file), event, KEVENT_REQ_DISPATCH);
  };
  ASSERT_EQ(Add(fd_, inode(KEVENT_INODE_MODIFY)), 0);
  EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_EQ(Take(fd_, 1, 1).size(), 1);
  unlink(name.c_str());
  close(file);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(KEVENT_INODE_MODIFY)), 0);
  ASSERT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(KEVENT_INODE_MODIFY)), 0);
  const auto events = Take(fd_, 1, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_NE(events[0].ret_flags & KEVENT_RET_BROKEN, 0u);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, inode(KEVENT_INODE_MODIFY)), -ENOENT);
}

// ---- The end of a connection ------------------------------------------------------

// Each byte that was sent before the end can be read, by who reads when told to.
TEST_F(Loops, AnEndIsReportedWhenWhatWasSentBeforeWasRead) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  struct Case {
    uint32_t type;
    int from;
    int to;
  };
  for (const Case& each :
       {Case{KEVENT_SOCKET, ends_[0], ends_[1]}, Case{KEVENT_PIPE, ends[0], ends[1]}}) {
    ASSERT_EQ(Add(fd_, DescriptorRequest(each.type, each.from, KEVENT_SOCKET_RECV)), 0);
    const std::vector<char> sent(50'000, 'x');
    ASSERT_EQ(write(each.to, sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    close(each.to);
    size_t received = 0;
    std::array<char, 16'384> bytes;
    for (;;) {
      const auto events = Take(fd_, 1, 1);
      ASSERT_EQ(events.size(), 1);
      if ((events[0].ret_flags & KEVENT_RET_BROKEN) != 0) break;
      const ssize_t count = read(each.from, bytes.data(), bytes.size());
      ASSERT_GT(count, 0);
      received += static_cast<size_t>(count);
    }
    EXPECT_EQ(received, sent.size());
    EXPECT_TRUE(Take(fd_).empty());
    close(each.from);
  }
  ends_ = {-1, -1};
}

}  // namespace
}  // namespace kevent_test
