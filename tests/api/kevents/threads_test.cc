// SPDX-License-Identifier: MIT
//
// Threads that register, change, remove and make ready while others collect, and
// a queue that is closed under all of them.

#include "tests/support/threads.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>

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
      EXPECT_EQ(errno, EBADF);
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
