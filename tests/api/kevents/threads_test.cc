// SPDX-License-Identifier: MIT
//
// Threads that register, change, remove and make ready while others collect, and
// a queue that is closed under all of them.

#include "tests/support/threads.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>

#include "tests/support/handlers.h"
#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr int kWorkers = 3;
constexpr int kCollectors = 2;
constexpr int kRounds = 20'000;

ukevent User(uint64_t id, uint32_t req_flags = 0) {
  return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, req_flags);
}

// One call for one entry: its result, or the negative errno.
int Call(int queue, unsigned command, ukevent request) {
  const int result = kevent_ctl(queue, command, 1, &request);
  return result == -1 ? -errno : result;
}

// A oneshot is collected exactly as often as it was registered and made ready,
// unless its worker took it back.
TEST(KeventThreads, EachOneshotIsCollectedOrTakenBack) {
  const Queue queue;
  const int fd = queue.fd();
  std::atomic<uint64_t> made = 0;
  std::atomic<uint64_t> taken_back = 0;
  std::atomic<uint64_t> collected = 0;
  std::atomic<int> working = kWorkers;
  // So that there always are as many as a call has entries.
  ASSERT_EQ(Add(fd, User(1'000'000)), 0);

  const auto work = [&](uint64_t first) {
    std::mt19937_64 random(first + 1);
    for (int i = 0; i < kRounds; ++i) {
      const uint64_t id = first * 1'000 + random() % 4;
      const int added = Call(fd, KEVENT_CTL_ADD, User(id, KEVENT_REQ_ONESHOT));
      EXPECT_GE(added, 0);
      if (added != 0) continue;  // its last one was not collected yet
      EXPECT_EQ(Call(fd, KEVENT_CTL_READY, User(id)), 1);
      ++made;
      if (random() % 2 == 0) continue;
      ukevent request = User(id);
      if (kevent_ctl(fd, KEVENT_CTL_REMOVE, 1, &request) == 0) ++taken_back;
    }
    if (--working == 0) kevent_ctl(fd, KEVENT_CTL_READY, 0, nullptr);
  };
  const auto collect = [&] {
    std::array<ukevent, 7> events;
    while (working != 0) {
      const timespec soon = ToTimespec(kMillisecond);
      const int count = kevent_get_events(fd, 1, 7, &soon, events.data(), 0);
      EXPECT_GE(count, 0);
      if (count > 0) collected += static_cast<uint64_t>(count);
    }
  };
  {
    std::vector<std::unique_ptr<Thread>> threads;
    threads.reserve(kWorkers + kCollectors);
    for (uint64_t i = 0; i < kWorkers; ++i) {
      threads.push_back(std::make_unique<Thread>([&work, i] { work(i); }));
    }
    for (int i = 0; i < kCollectors; ++i) threads.push_back(std::make_unique<Thread>(collect));
  }
  for (;;) {
    const auto rest = Take(fd);
    if (rest.empty()) break;
    collected += rest.size();
  }
  EXPECT_EQ(made, collected + taken_back);
}

// Made ready by one thread while the other collects it for the last time.
TEST(KeventThreads, AOneshotThatLeavesIsNotMadeReadyAgain) {
  const Queue queue;
  const int fd = queue.fd();
  ASSERT_EQ(Add(fd, User(2)), 0);
  std::atomic<bool> over = false;
  Thread injector([&] {
    while (!over) Call(fd, KEVENT_CTL_READY, User(1));
  });
  uint64_t added = 0;
  uint64_t collected = 0;
  for (int i = 0; i < kRounds; ++i) {
    if (Call(fd, KEVENT_CTL_ADD, User(1, KEVENT_REQ_ONESHOT)) == 0) ++added;
    collected += Take(fd, 0, 8).size();
  }
  over = true;
  injector.Join();
  collected += Take(fd, 0, 8).size();
  EXPECT_LE(collected, added);
  EXPECT_GE(collected + 1, added);
}

// What a handler uses that interrupts MODIFY: a queue, its kevent of the program's own, and watched
// numbers that it closes one by one.
struct Interruption {
  int queue;
  std::array<int, 64> watched;
  std::atomic<unsigned> closed = 0;
  std::atomic<unsigned> handled = 0;
};
Interruption* s_interruption;

void CloseAndMakeReady(int) {
  Interruption& at = *s_interruption;
  EXPECT_EQ(Call(at.queue, KEVENT_CTL_READY, User(1)), 1);
  if (at.closed < at.watched.size()) {
    EXPECT_EQ(kevent_close(at.watched[at.closed++]), 0);
  }
  ++at.handled;
}

// MODIFY does not block signals: handlers may take the lock of the table and close watched numbers
// meanwhile.
TEST(KeventThreads, ModifyIsInterruptedByHandlersThatMakeReadyAndClose) {
  if (kHandlersRunWhileBlocked) GTEST_SKIP() << "handlers run with the table's lock held";
  const Queue queue;
  Interruption interruption = {.queue = queue.fd(), .watched = {}};
  s_interruption = &interruption;
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  for (int& number : interruption.watched) {
    number = dup(ends[0]);
    ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_POLL, number, KEVENT_POLL_POLLPRI)), 0);
  }
  const ukevent request = DescriptorRequest(KEVENT_POLL, ends[0], KEVENT_POLL_POLLIN,
                                            KEVENT_REQ_DISPATCH | KEVENT_REQ_ALWAYS_QUEUE, 0xC0);
  ASSERT_EQ(Add(queue.fd(), request), 0);
  ASSERT_EQ(Add(queue.fd(), User(1)), 0);
  struct sigaction action = {};
  action.sa_handler = CloseAndMakeReady;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);

  constexpr unsigned kHandled = 2'000;
  std::atomic<unsigned> modified = 0;
  std::atomic<unsigned> of_the_pipe = 0;
  std::atomic<unsigned> of_the_handler = 0;
  {
    const Thread modifier([&] {
      while (interruption.handled < kHandled) {
        EXPECT_EQ(Control(queue.fd(), KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID, request), 0);
        ++modified;
      }
    });
    const Thread collector([&] {
      std::array<ukevent, 4> events;
      while (interruption.handled < kHandled || of_the_pipe == 0 || of_the_handler == 0) {
        const timespec soon = ToTimespec(kMillisecond);
        const int count = kevent_get_events(queue.fd(), 1, 4, &soon, events.data(), 0);
        for (int i = 0; i < count; ++i) {
          const ukevent& event = events[static_cast<size_t>(i)];
          ++(event.type == KEVENT_POLL ? of_the_pipe : of_the_handler);
        }
      }
    });
    for (unsigned seen = 0; !modifier.finished(); seen = interruption.handled) {
      modifier.Kill(SIGUSR2);
      while (interruption.handled == seen && !modifier.finished()) sched_yield();
    }
  }
  EXPECT_GE(interruption.handled, kHandled);
  EXPECT_GE(modified + 1, of_the_pipe);  // it pauses with each event
  EXPECT_LE(of_the_handler, interruption.handled);
  signal(SIGUSR2, SIG_DFL);
  close(ends[0]);
  close(ends[1]);
}

// READY takes the lock of the table alone, and MODIFY of a descriptor that of the queue: neither
// loses what the other has to say, also of other kevents.
TEST(KeventThreads, ReadyIsHeardBesideModify) {
  const Queue queue;
  const int fd = queue.fd();
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const ukevent pipe_end = DescriptorRequest(KEVENT_POLL, ends[0], KEVENT_POLL_POLLIN);
  ASSERT_EQ(Add(fd, pipe_end), 0);
  constexpr uint64_t kUsers = 4;
  for (uint64_t id = 0; id < kUsers; ++id) ASSERT_EQ(Add(fd, User(id)), 0);
  constexpr int kPhases = 50;
  for (int phase = 0; phase < kPhases; ++phase) {
    std::atomic<bool> done = false;
    {
      const Thread modifier([&] {
        while (!done) EXPECT_EQ(Control(fd, KEVENT_CTL_MODIFY, pipe_end), 0);
      });
      for (uint64_t i = 0; i < 5'000; ++i) {
        std::array<ukevent, 1 + kUsers> all = {pipe_end};
        for (uint64_t id = 0; id < kUsers; ++id) all[1 + id] = User((id + i) % kUsers);
        const auto count = static_cast<unsigned>(1 + i % kUsers);
        EXPECT_EQ(kevent_ctl(fd, KEVENT_CTL_READY, count, all.data()), static_cast<int>(count));
      }
      done = true;
    }
    while (!Take(fd).empty()) {
    }
    for (uint64_t id = 0; id < kUsers; ++id) {
      ASSERT_TRUE(Inject(fd, User(id)));
      ASSERT_EQ(Take(fd).size(), 1) << "READY of " << id << " in phase " << phase;
    }
  }
  close(ends[0]);
  close(ends[1]);
}

// Each byte is reported and read, whoever reads it.
TEST(KeventThreads, SocketsComeAndGo) {
  const Queue queue;
  const int fd = queue.fd();
  std::atomic<uint64_t> sent = 0;
  std::atomic<uint64_t> received = 0;
  std::atomic<int> working = kWorkers;

  const auto work = [&](bool edge) {
    for (int i = 0; i < kRounds / 20; ++i) {
      std::array<int, 2> ends;
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
      ukevent request =
          DescriptorRequest(KEVENT_SOCKET, ends[0], KEVENT_SOCKET_RECV, edge ? KEVENT_REQ_ET : 0);
      ASSERT_EQ(Call(fd, KEVENT_CTL_ADD, request), 0);
      ASSERT_EQ(write(ends[1], "x", 1), 1);
      const uint64_t before = ++sent;
      // Until it was read: by a collector, whose event may be of another socket.
      char byte;
      while (recv(ends[0], &byte, 1, MSG_PEEK) == 1) usleep(10);
      EXPECT_GT(before, 0);
      if (i % 2 == 0) {
        EXPECT_EQ(Call(fd, KEVENT_CTL_REMOVE, request), 0);
      }
      close(ends[0]);
      close(ends[1]);
    }
    --working;
  };
  const auto collect = [&] {
    std::array<ukevent, 3> events;
    while (working != 0) {
      const timespec soon = ToTimespec(kMillisecond);
      const int count = kevent_get_events(fd, 1, 3, &soon, events.data(), 0);
      EXPECT_GE(count, 0);
      for (int i = 0; i < count; ++i) {
        char byte;
        // By level two collectors may be told; one of them finds the byte, the
        // other perhaps a descriptor that was closed meanwhile.  That race is meant,
        // so it is kept from TSan, which sees what the C library's read does.
        const auto socket = static_cast<int>(events[static_cast<size_t>(i)].id.raw[0]);
        if (syscall(SYS_read, socket, &byte, size_t{1}) == 1) ++received;
      }
    }
  };
  {
    std::vector<std::unique_ptr<Thread>> threads;
    threads.reserve(kWorkers + kCollectors);
    for (int i = 0; i < kWorkers; ++i) {
      threads.push_back(std::make_unique<Thread>([&work, i] { work(i % 2 == 0); }));
    }
    for (int i = 0; i < kCollectors; ++i) threads.push_back(std::make_unique<Thread>(collect));
  }
  EXPECT_EQ(sent, received);
}

TEST(KeventThreads, AQueueIsClosedUnderAllOfThem) {
  for (int round = 0; round < 200; ++round) {
    const int fd = kevent_init(nullptr, 0, 0);
    ASSERT_GE(fd, 0);
    std::atomic<int> ended = 0;
    const auto work = [&](uint64_t id) {
      const kevent_timer_spec soon = {CLOCK_MONOTONIC, 0, Setting(kMicrosecond, kMicrosecond)};
      for (;;) {
        const int added = Call(fd, KEVENT_CTL_ADD, User(id, KEVENT_REQ_READY));
        if (added < 0 || Call(fd, KEVENT_CTL_ADD, TimerRequest(id, &soon)) < 0) break;
        if (Call(fd, KEVENT_CTL_READY, User(id)) < 0) break;
        if (Call(fd, KEVENT_CTL_REMOVE, User(id)) < 0) break;
      }
      ++ended;
    };
    const auto collect = [&] {
      std::array<ukevent, 4> events;
      while (kevent_get_events(fd, 2, 4, nullptr, events.data(), 0) >= 0) {
      }
      // A descriptor that the library makes for another thread's call may have the number for a
      // moment.
      EXPECT_TRUE(errno == EBADF || errno == EINVAL) << errno;
      ++ended;
    };
    {
      Thread first([&] { work(1); });
      Thread second([&] { work(2); });
      Thread third(collect);
      Thread fourth(collect);
      usleep(500);
      EXPECT_EQ(close(fd), 0);
    }
    EXPECT_EQ(ended, 4);
  }
}

}  // namespace
}  // namespace kevent_test
