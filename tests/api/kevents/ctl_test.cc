// SPDX-License-Identifier: MIT
//
// The commands of kevent_ctl: what they return, and the events that a program
// makes itself.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "tests/support/handlers.h"
#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

ukevent User(uint64_t id, uintptr_t cookie = 0, uint32_t req_flags = 0) {
  return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, req_flags, cookie);
}

class Ctl : public testing::Test {
 protected:
  const Queue queue_;
  const int fd_ = queue_.fd();
};

TEST_F(Ctl, AnInjectedEventSaysWhatItIs) {
  ASSERT_EQ(Add(fd_, User(7, 70)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  ASSERT_TRUE(Inject(fd_, User(7, 70)));
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, 7);
  EXPECT_EQ(events[0].type, KEVENT_UNOTIFY);
  EXPECT_EQ(events[0].event, KEVENT_UNOTIFY_EVENT);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(70));
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Ctl, InjectionsBeforeTheCollectionAreOneEvent) {
  ASSERT_EQ(Add(fd_, User(1)), 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_EQ(Take(fd_).size(), 1);
  ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Ctl, EventsComeInTheOrderOfTheirReadiness) {
  for (uint64_t id = 0; id < 10; ++id) ASSERT_EQ(Add(fd_, User(id)), 0);
  for (uint64_t id = 10; id-- > 0;) ASSERT_TRUE(Inject(fd_, User(id)));
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 10);
  for (uint64_t i = 0; i < 10; ++i) EXPECT_EQ(events[i].id.raw_u64, 9 - i);
}

TEST_F(Ctl, TypeIdAndCookieAreTheKey) {
  ASSERT_EQ(Add(fd_, User(1, 1)), 0);
  ASSERT_EQ(Add(fd_, User(1, 2)), 0);
  ASSERT_EQ(Add(fd_, User(2, 1)), 0);
  EXPECT_EQ(Add(fd_, User(1, 1)), -EEXIST);
  EXPECT_FALSE(Inject(fd_, User(2, 2)));
  ASSERT_TRUE(Inject(fd_, User(1, 2)));
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(2));
}

TEST_F(Ctl, RemovedEventsAreNotCollected) {
  ASSERT_EQ(Add(fd_, User(1)), 0);
  ASSERT_EQ(Add(fd_, User(2)), 0);
  ASSERT_TRUE(Inject(fd_, User(1)));
  ASSERT_TRUE(Inject(fd_, User(2)));
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, User(1)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, 2);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, User(1)), -ENOENT);
  ASSERT_EQ(Add(fd_, User(1)), 0);
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Ctl, OneshotIsReportedOnce) {
  ASSERT_EQ(Add(fd_, User(1, 0, KEVENT_REQ_ONESHOT)), 0);
  ASSERT_EQ(Add(fd_, User(2)), 0);
  ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_EQ(Take(fd_).size(), 1);
  EXPECT_FALSE(Inject(fd_, User(1)));
  EXPECT_EQ(Add(fd_, User(1)), 0);
}

TEST_F(Ctl, ReadyAndAlwaysQueueAreReadyAtOnce) {
  ASSERT_EQ(Add(fd_, User(1, 0, KEVENT_REQ_READY)), 0);
  ASSERT_EQ(Add(fd_, User(2, 0, KEVENT_REQ_ALWAYS_QUEUE)), 0);
  EXPECT_EQ(Take(fd_).size(), 2);
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Ctl, ModifyTakesBackAndReplaces) {
  ASSERT_EQ(Add(fd_, User(1)), 0);
  ASSERT_EQ(Add(fd_, User(2)), 0);
  ASSERT_TRUE(Inject(fd_, User(1)));
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, User(1, 0, KEVENT_REQ_ONESHOT)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  ASSERT_TRUE(Inject(fd_, User(1)));
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].req_flags, KEVENT_REQ_ONESHOT);
  EXPECT_FALSE(Inject(fd_, User(1)));
}

// Each entry has its result in its place; those that can be are registered all the same.
TEST_F(Ctl, PartialFailureLosesNothing) {
  std::vector<ukevent> entries = {
      User(1),
      Request(KEVENT_POSIX_TIMER, 2, 1),
      User(3),
      Request(KEVENT_UNOTIFY, 4, 2),
      Request(77, 5, 1, 0, 50),
      Request(KEVENT_UNOTIFY, 6, KEVENT_UNOTIFY_EVENT, 0x4000),
      User(1),
      DescriptorRequest(KEVENT_POLL, 987'654, KEVENT_POLL_POLLIN),
  };
  ASSERT_EQ(kevent_ctl(fd_, KEVENT_CTL_ADD, 8, entries.data()), 6);
  const std::vector<int> expected = {0, -ENOSYS, 0, -EINVAL, -ENOSYS, -EINVAL, -EEXIST, -EBADF};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(ResultOf(entries[i]), expected[i]) << i;
  }
  EXPECT_TRUE(Inject(fd_, User(1)));
  EXPECT_TRUE(Inject(fd_, User(3)));
  EXPECT_FALSE(Inject(fd_, User(6)));

  std::vector<ukevent> some = {User(8), User(3), User(9)};
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 3, some.data()), 1);
  EXPECT_EQ(ResultOf(some[0]), -ENOENT);
  EXPECT_EQ(ResultOf(some[1]), 0);
  EXPECT_EQ(ResultOf(some[2]), -ENOENT);
  for (const unsigned command : {KEVENT_CTL_MODIFY, KEVENT_CTL_REMOVE}) {
    EXPECT_EQ(kevent_ctl(fd_, command, 3, some.data()), 2);
    EXPECT_EQ(ResultOf(some[0]), -ENOENT);
    EXPECT_EQ(ResultOf(some[1]), 0);
    EXPECT_EQ(ResultOf(some[2]), -ENOENT);
  }
}

TEST_F(Ctl, ReadyEntriesAreToldFromRegisteredOnes) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::vector<ukevent> entries = {
      User(1),
      User(2),
      DescriptorRequest(KEVENT_PIPE, ends[1], KEVENT_SOCKET_SEND, 0),  // ready
      Request(77, 3, 1),                                               // unknown
      User(4),
  };
  for (ukevent& entry : entries) entry.ret_data[0] = entry.ret_data[1] = entry.ret_flags = 5;
  ASSERT_EQ(kevent_ctl(fd_, KEVENT_CTL_ADD, 5, entries.data()), 2);
  for (const size_t i : {0, 1, 4}) EXPECT_EQ(entries[i].ret_flags, KEVENT_RET_DONE);
  EXPECT_EQ(entries[2].ret_flags, KEVENT_RET_DONE | KEVENT_RET_READY);
  EXPECT_EQ(entries[2].ret_data[0], KEVENT_SOCKET_SEND);
  EXPECT_EQ(ResultOf(entries[3]), -ENOSYS);
  close(ends[0]);
  close(ends[1]);
}

// The descriptor is readable while something can be collected, and no longer.
TEST_F(Ctl, WhatIsTakenBackLeavesNothingReadable) {
  for (const unsigned command : {KEVENT_CTL_REMOVE, KEVENT_CTL_MODIFY}) {
    const Queue queue;
    const int fd = queue.fd();
    ASSERT_EQ(Add(fd, User(1)), 0);
    ASSERT_EQ(Add(fd, User(2)), 0);
    ASSERT_TRUE(Inject(fd, User(1)));
    ASSERT_TRUE(Inject(fd, User(2)));
    ASSERT_EQ(Control(fd, command, User(1)), 0);
    EXPECT_TRUE(Readable(fd));
    ASSERT_EQ(Control(fd, command, User(2)), 0);
    EXPECT_FALSE(Readable(fd));
    EXPECT_TRUE(Take(fd).empty());
    // And with what others have to say.
    const ukevent ready = User(3, 0, KEVENT_REQ_READY | KEVENT_REQ_ONESHOT);
    ASSERT_EQ(Add(fd, ready), 0);
    EXPECT_TRUE(Readable(fd));
    ASSERT_EQ(Add(fd, User(4, 0, KEVENT_REQ_READY)), 0);
    ASSERT_EQ(Control(fd, KEVENT_CTL_REMOVE, User(4)), 0);
    EXPECT_TRUE(Readable(fd));
    EXPECT_EQ(Take(fd).size(), 1);
    EXPECT_FALSE(Readable(fd));
  }
}

// Whoever sleeps for more than was there sleeps on, and is woken by what comes.
TEST_F(Ctl, WhatIsTakenBackWakesNobodyForGood) {
  for (uint64_t id = 0; id < 3; ++id) ASSERT_EQ(Add(fd_, User(id)), 0);
  Sleeper sleeper(fd_, 2, 2);
  sleeper.AwaitAsleep();
  ASSERT_TRUE(Inject(fd_, User(0)));
  sleeper.thread().AwaitQuiet();
  ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, User(0)), 0);
  EXPECT_FALSE(Readable(fd_));
  sleeper.thread().AwaitQuiet();
  ASSERT_TRUE(Inject(fd_, User(1)));
  sleeper.thread().AwaitQuiet();
  EXPECT_FALSE(sleeper.returned());
  ASSERT_TRUE(Inject(fd_, User(2)));
  EXPECT_EQ(sleeper.result(), 2);
}

// Made ready by the request, what has a source is asked all the same, if that is wanted.
TEST_F(Ctl, ReadyWithALastCheckIsWhatTheSourceConfirms) {
  constexpr uint32_t kFlags = KEVENT_REQ_READY | KEVENT_REQ_LAST_CHECK;
  int ends[2];
  int pair[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const Queue other;
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const kevent_timer_spec unarmed = {CLOCK_MONOTONIC, 0, {}};
  ukevent timer = TimerRequest(1, &unarmed, 0, kFlags);
  for (const ukevent& request : {
           DescriptorRequest(KEVENT_POLL, ends[0], KEVENT_POLL_POLLIN, kFlags),
           DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV, kFlags),
           DescriptorRequest(KEVENT_SOCKET, pair[0], KEVENT_SOCKET_RECV, kFlags),
           DescriptorRequest(KEVENT_KEVENT, other.fd(), KEVENT_KEVENT_READY, kFlags),
           Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_SIGNAL_DELIVERY, kFlags),
           Request(KEVENT_PROCESS, static_cast<uint64_t>(getpid()), KEVENT_PROCESS_EXIT, kFlags),
       }) {
    SCOPED_TRACE(testing::Message() << "type " << request.type);
    ASSERT_EQ(Add(fd_, request), 0);
    EXPECT_TRUE(Take(fd_).empty());
    EXPECT_FALSE(Readable(fd_));
    EXPECT_TRUE(Inject(fd_, request));
    EXPECT_TRUE(Take(fd_).empty());
    EXPECT_FALSE(Readable(fd_));
    EXPECT_TRUE(Inject(fd_, request));
    EXPECT_TRUE(Take(fd_, 2, 2, kMillisecond).empty());
  }
  // These have nothing that could be asked.
  for (const ukevent& request : {
           Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT, kFlags),
           DescriptorRequest(KEVENT_INODE, directory, KEVENT_INODE_CREATE, kFlags),
           timer,
       }) {
    SCOPED_TRACE(testing::Message() << "type " << request.type);
    ASSERT_EQ(Add(fd_, request), 0);
    EXPECT_EQ(Take(fd_).size(), 1);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  for (const int fd : {ends[0], ends[1], pair[0], pair[1], directory}) close(fd);
}

TEST_F(Ctl, BadCalls) {
  ukevent entry = User(1);
  const auto error = [](int result) { return result == -1 ? errno : 0; };
  EXPECT_EQ(error(kevent_ctl(-1, KEVENT_CTL_ADD, 1, &entry)), EBADF);
  EXPECT_EQ(error(kevent_ctl(STDERR_FILENO, KEVENT_CTL_ADD, 1, &entry)), EINVAL);
  EXPECT_EQ(error(kevent_ctl(fd_, 4, 1, &entry)), EINVAL);
  EXPECT_EQ(error(kevent_ctl(fd_, KEVENT_CTL_ADD, 1, nullptr)), EFAULT);
  EXPECT_EQ(error(kevent_ctl(fd_, KEVENT_CTL_ADD, 1'000'000'000, &entry)), EINVAL);
  for (const unsigned command : {KEVENT_CTL_REMOVE, KEVENT_CTL_MODIFY, KEVENT_CTL_READY}) {
    EXPECT_EQ(error(kevent_ctl(fd_, command, 1'000'000'000, &entry)), EINVAL);
    EXPECT_EQ(error(kevent_ctl(fd_, command | KEVENT_CTL_REPLACE, 1, &entry)), EINVAL);
    EXPECT_EQ(error(kevent_ctl(fd_, command | 0x400, 1, &entry)), EINVAL);
  }
  for (const unsigned command : {KEVENT_CTL_ADD, KEVENT_CTL_REMOVE, KEVENT_CTL_MODIFY}) {
    EXPECT_EQ(kevent_ctl(fd_, command, 0, nullptr), 0);
  }
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_ADD, 1, &entry), 0);
  EXPECT_EQ(error(kevent_ctl(fd_, KEVENT_CTL_ADD, 1'000'000, &entry)), EFAULT);
}

TEST_F(Ctl, AnArrayThatCannotBeWrittenToChangesNothing) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  // The first entry can be written to, the second lies across the boundary.
  auto* entries = reinterpret_cast<ukevent*>(static_cast<char*>(pages) + page - 64);
  entries[0] = User(1);
  entries[1] = User(2);
  ASSERT_EQ(mprotect(static_cast<char*>(pages) + page, page, PROT_READ), 0);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_ADD, 2, entries), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 1, entries), 1);
  EXPECT_EQ(ResultOf(entries[0]), -ENOENT);
  for (const unsigned command : {KEVENT_CTL_REMOVE, KEVENT_CTL_MODIFY, KEVENT_CTL_READY}) {
    EXPECT_EQ(kevent_ctl(fd_, command, 2, entries), -1);
    EXPECT_EQ(errno, EFAULT);
  }
  munmap(pages, 2 * page);
}

// ---- Waking a collector ------------------------------------------------------

TEST_F(Ctl, ReadyOfNothingHasASleeperReturn) {
  Thread collector([this] { EXPECT_TRUE(Take(fd_, 1).empty()); });
  collector.AwaitAsleep();
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  collector.Join();
  // Or the next, once: but for one that looks at nothing.
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  EXPECT_EQ(kevent_get_events(fd_, 0, 0, nullptr, nullptr, 0), 0);
  EXPECT_TRUE(Readable(fd_));
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  EXPECT_TRUE(Take(fd_, 1).empty());
  EXPECT_TRUE(Take(fd_, 1, 1, kMillisecond).empty());
}

TEST_F(Ctl, OneWhoHoldsReturnsWithWhatThereIs) {
  for (uint64_t id = 0; id < 4; ++id) ASSERT_EQ(Add(fd_, User(id)), 0);
  std::vector<ukevent> events;
  Thread collector([&] { events = Take(fd_, 4); });
  collector.AwaitAsleep();
  ASSERT_TRUE(Inject(fd_, User(0)));
  collector.AwaitAsleep();
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  collector.Join();
  EXPECT_EQ(events.size(), 1);
}

TEST_F(Ctl, InjectionsWakeOneWhoWaitsForSeveral) {
  for (uint64_t id = 0; id < 4; ++id) ASSERT_EQ(Add(fd_, User(id)), 0);
  std::vector<ukevent> events;
  Thread collector([&] { events = Take(fd_, 4); });
  for (uint64_t id = 0; id < 4; ++id) {
    collector.AwaitAsleep();
    ASSERT_TRUE(Inject(fd_, User(id)));
  }
  collector.Join();
  EXPECT_EQ(events.size(), 4);
}

int g_queue;
volatile sig_atomic_t g_injected;

void InjectFromHandler(int) {
  ukevent request = User(1);
  const int before = errno;
  if (kevent_ctl(g_queue, KEVENT_CTL_READY, 1, &request) == 1) g_injected = g_injected + 1;
  if (errno != before) _exit(3);
}

// A handler that comes in the midst of any of these calls injects into the same queue.
TEST_F(Ctl, HandlersInject) {
  if (kHandlersRunWhileBlocked) GTEST_SKIP() << "handlers run with the table's lock held";
  g_queue = fd_;
  g_injected = 0;
  ASSERT_EQ(Add(fd_, User(1)), 0);
  struct sigaction action = {};
  action.sa_handler = InjectFromHandler;
  struct sigaction former;
  sigaction(SIGPROF, &action, &former);
  const itimerval often = {{0, 200}, {0, 200}};
  setitimer(ITIMER_PROF, &often, nullptr);
  size_t collected = 0;
  for (uint64_t i = 0; g_injected < 1'000; ++i) {
    const ukevent other = User(2 + i % 3, i);
    ASSERT_EQ(Add(fd_, other), 0);
    for (const ukevent& event : Take(fd_, 0, 8)) collected += event.id.raw_u64 == 1 ? 1 : 0;
    ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, other), 0);
  }
  const itimerval never = {};
  setitimer(ITIMER_PROF, &never, nullptr);
  sigaction(SIGPROF, &former, nullptr);
  collected += Take(fd_).size();
  EXPECT_GT(collected, 0);
  EXPECT_LE(collected, static_cast<size_t>(g_injected));
}

TEST_F(Ctl, VeryMany) {
  constexpr unsigned kMany = 200'000;
  std::vector<ukevent> entries;
  for (unsigned i = 0; i < kMany; ++i) entries.push_back(User(i % 1'000, i));
  ASSERT_EQ(kevent_ctl(fd_, KEVENT_CTL_ADD, kMany, entries.data()), 0);
  ASSERT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, kMany, entries.data()), kMany);
  std::set<void*> seen;
  while (seen.size() < kMany) {
    const auto events = Take(fd_, 1, 512);
    ASSERT_FALSE(events.empty());
    for (const ukevent& event : events) EXPECT_TRUE(seen.insert(event.ptr).second);
  }
  ASSERT_EQ(kevent_ctl(fd_, KEVENT_CTL_REMOVE, kMany, entries.data()), 0);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 1, entries.data()), 1);
}

TEST_F(Ctl, QueuesDoNotSeeEachOthersEvents) {
  const Queue other;
  ASSERT_EQ(Add(fd_, User(1)), 0);
  ASSERT_EQ(Add(other.fd(), User(1)), 0);
  ASSERT_TRUE(Inject(other.fd(), User(1)));
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(Take(other.fd()).size(), 1);
}

}  // namespace
}  // namespace kevent_test
