// SPDX-License-Identifier: MIT
//
// The queue descriptor in an edge-triggered epoll: a loop that collects until
// nothing is left and then waits for the next edge misses nothing.

#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

class EdgeEpoll {
 public:
  explicit EdgeEpoll(int fd) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event = {EPOLLIN | EPOLLET, {.fd = fd}};
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0) << std::strerror(errno);
  }
  ~EdgeEpoll() { close(epoll_); }
  EdgeEpoll(const EdgeEpoll&) = delete;
  EdgeEpoll& operator=(const EdgeEpoll&) = delete;

  bool Wait(int timeout) const {
    epoll_event event;
    return epoll_wait(epoll_, &event, 1, timeout) == 1;
  }
  int fd() const { return epoll_; }

 private:
  const int epoll_;
};

// Waits for edges until at least `count` events were collected.
template <typename Handle>
void CollectByEdges(const EdgeEpoll& epoll, int queue, size_t count, Handle handle) {
  while (count > 0) {
    ASSERT_TRUE(epoll.Wait(-1));
    // Then, too, when a periodic timer is always faster than the collector.
    while (count > 0) {
      const std::vector<ukevent> events = Collect(queue, 0, 4);
      if (events.empty()) break;
      for (const ukevent& event : events) handle(event);
      count -= std::min(count, events.size());
    }
  }
}

TEST(EdgeTriggered, AnEdgeForEachTimerInThePast) {
  Queue queue;
  EdgeEpoll epoll(queue.fd());
  Timer timer(queue.fd(), 1);
  for (int i = 0; i < 2'000; ++i) {
    timer.Expire();
    CollectByEdges(epoll, queue.fd(), 1, [](const ukevent&) {});
  }
  EXPECT_FALSE(epoll.Wait(0));
}

TEST(EdgeTriggered, AnEdgeForEachTimerToCome) {
  Queue queue;
  EdgeEpoll epoll(queue.fd());
  Timer timer(queue.fd(), 1);
  for (int i = 0; i < 200; ++i) {
    timer.ArmIn(20 * kMicrosecond);
    CollectByEdges(epoll, queue.fd(), 1, [](const ukevent&) {});
  }
  EXPECT_FALSE(epoll.Wait(0));
}

TEST(EdgeTriggered, AnEdgeForEachPeriod) {
  Queue queue;
  EdgeEpoll epoll(queue.fd());
  Timer timer(queue.fd(), 1);
  timer.ArmIn(100 * kMicrosecond, 100 * kMicrosecond);
  CollectByEdges(epoll, queue.fd(), 100, [](const ukevent&) {});
}

TEST(EdgeTriggered, AnEdgeForWhatExpiredBeforeItWasAdded) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  timer.Expire();
  EdgeEpoll epoll(queue.fd());
  EXPECT_TRUE(epoll.Wait(-1));
}

// A timer in the past and one to come, expiring in either order.
TEST(EdgeTriggered, AnEdgeForPastAndFutureTogether) {
  Queue queue;
  EdgeEpoll epoll(queue.fd());
  Timer past(queue.fd(), 1);
  Timer future(queue.fd(), 2);
  for (int i = 0; i < 500; ++i) {
    const Nanos soon = (i % 50) * kMicrosecond + 1;
    if (i % 2 == 0) {
      past.Expire();
      future.ArmIn(soon);
    } else {
      future.ArmIn(soon);
      past.Expire();
    }
    CollectByEdges(epoll, queue.fd(), 2, [](const ukevent&) {});
  }
}

// Each armer waits for its event before it arms again: an edge that is lost
// stops the test for good.
void ArmersAndOneCollector(bool nested) {
  constexpr size_t kArmers = 3;
  constexpr int kRounds = 10'000;
  Queue queue;
  EdgeEpoll inner(queue.fd());
  std::unique_ptr<EdgeEpoll> outer;
  if (nested) outer = std::make_unique<EdgeEpoll>(inner.fd());

  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < kArmers; ++i) timers.emplace_back(queue.fd(), i);
  std::array<std::atomic<int>, kArmers> collected = {};
  std::vector<std::unique_ptr<Thread>> armers;
  for (size_t i = 0; i < kArmers; ++i) {
    armers.push_back(std::make_unique<Thread>([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        if ((round + static_cast<int>(i)) % 3 == 0) {
          timers[i].ArmIn(round % 64 * kMicrosecond + 1);
        } else {
          timers[i].Expire();
        }
        collected[i].wait(round);
      }
    }));
  }
  CollectByEdges(nested ? *outer : inner, queue.fd(), kArmers * kRounds, [&](const ukevent& event) {
    ++collected[Cookie(event)];
    collected[Cookie(event)].notify_one();
  });
  for (const auto& count : collected) EXPECT_EQ(count, kRounds);
}

TEST(EdgeTriggered, NoEdgeIsLostBetweenArmersAndACollector) { ArmersAndOneCollector(false); }

TEST(EdgeTriggered, NoEdgeIsLostThroughANestedEpoll) { ArmersAndOneCollector(true); }

// A thread that asks whether the queue is readable has the kernel go through what is
// ready, and a call that takes it without waiting may find nothing then (Linux from 5.11
// on, epoll_wait with a timeout of 0).
template <typename MakeReady, typename Handle>
void ExpectNoEdgeLostBesideAnAsker(int queue, MakeReady make_ready, Handle handle) {
  constexpr int kRounds = 10'000;
  EdgeEpoll epoll(queue);
  std::atomic<int> collected = 0;
  std::atomic<bool> over = false;
  {
    Thread asker([&] {
      while (!over) {
        Readable(queue);
        sched_yield();
      }
    });
    Thread maker([&] {
      for (int round = 0; round < kRounds; ++round) {
        make_ready();
        collected.wait(round);
      }
    });
    CollectByEdges(epoll, queue, kRounds, [&](const ukevent&) {
      handle();
      ++collected;
      collected.notify_one();
    });
    over = true;
  }
  EXPECT_EQ(collected, kRounds);
  EXPECT_FALSE(Readable(queue));
}

TEST(EdgeTriggered, NoTimersEdgeIsLostWhileOthersAsk) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  ExpectNoEdgeLostBesideAnAsker(
      queue.fd(), [&] { timer.Expire(); }, [] {});
}

TEST(EdgeTriggered, NoDescriptorsEdgeIsLostWhileOthersAsk) {
  Queue queue;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const auto id = static_cast<uint64_t>(ends[0]);
  ASSERT_EQ(Add(queue.fd(), Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
  char byte = 0;
  ExpectNoEdgeLostBesideAnAsker(
      queue.fd(), [&] { EXPECT_EQ(write(ends[1], "x", 1), 1); },
      [&] { EXPECT_EQ(read(ends[0], &byte, 1), 1); });
  for (const int end : ends) close(end);
}

// Two edge-triggered loops on one queue: an event that one has been woken for
// may be collected by the other, but none stays behind.
TEST(EdgeTriggered, NoEdgeIsLostWithTwoLoops) {
  constexpr int kRounds = 10'000;
  constexpr uintptr_t kStop = 99;
  Queue queue;
  Timer timer(queue.fd(), 1);
  Timer stop(queue.fd(), kStop);
  std::atomic<int> collected = 0;
  std::atomic<bool> stopped = false;
  const auto loop = [&] {
    EdgeEpoll epoll(queue.fd());
    while (!stopped) {
      ASSERT_TRUE(epoll.Wait(-1));
      for (;;) {
        const std::vector<ukevent> events = Collect(queue.fd(), 0, 4);
        if (events.empty()) break;
        for (const ukevent& event : events) {
          if (Cookie(event) == kStop) {
            stopped = true;
            stop.Expire();  // left uncollected: wakes the other loop
            return;
          }
          ++collected;
          collected.notify_one();
        }
      }
    }
  };
  {
    Thread one(loop);
    Thread other(loop);
    for (int round = 0; round < kRounds; ++round) {
      timer.Expire();
      collected.wait(round);
    }
    stop.Expire();
  }
  EXPECT_EQ(collected, kRounds);
}

}  // namespace
}  // namespace kevent_test
