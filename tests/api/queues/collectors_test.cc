// SPDX-License-Identifier: MIT
//
// Several threads collecting from one queue.

#include <array>
#include <atomic>
#include <memory>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// Sleepers still asleep of those given.
template <typename Sleepers>
size_t Asleep(const Sleepers& sleepers) {
  size_t count = 0;
  for (const auto& sleeper : sleepers) count += !sleeper->returned();
  return count;
}

template <typename Sleepers>
void AwaitAsleep(const Sleepers& sleepers, size_t count) {
  while (Asleep(sleepers) != count) usleep(100);
}

std::vector<std::unique_ptr<Sleeper>> MakeSleepers(int queue, size_t count, unsigned min,
                                                   unsigned max) {
  std::vector<std::unique_ptr<Sleeper>> sleepers;
  for (size_t i = 0; i < count; ++i) {
    sleepers.push_back(std::make_unique<Sleeper>(queue, min, max));
    sleepers.back()->AwaitAsleep();
  }
  return sleepers;
}

TEST(Collectors, ShareAHundredThousandEventsNoneTwiceNoneLost) {
  constexpr size_t kTimers = 1'000;
  constexpr int kRounds = 100;
  constexpr uintptr_t kStop = kTimers;
  Queue queue;
  std::vector<Timer> timers;
  timers.reserve(kTimers + 1);
  for (uintptr_t i = 0; i <= kTimers; ++i) timers.emplace_back(queue.fd(), i);

  // Whoever collects a timer arms it again; only one thread can have it.
  std::vector<std::atomic<int>> rounds(kTimers);
  std::atomic<size_t> total = 0;
  std::atomic<int> stray = 0;
  const auto collect = [&] {
    for (;;) {
      for (const ukevent& event : Collect(queue.fd(), 1, 16)) {
        if (Cookie(event) == kStop) {
          timers[kStop].Expire();  // for the other collector
          return;
        }
        const int round = ++rounds[Cookie(event)];
        stray += event.ret_data[0] != 0;
        if (round < kRounds) {
          if (round % 2 == 0) {
            timers[Cookie(event)].Expire();
          } else {
            timers[Cookie(event)].ArmIn(50 * kMicrosecond);
          }
        }
        if (++total == kTimers * kRounds) timers[kStop].Expire();
      }
    }
  };
  {
    Thread one(collect);
    Thread other(collect);
    for (size_t i = 0; i < kTimers; ++i) timers[i].Expire();
  }
  EXPECT_EQ(total, kTimers * kRounds);
  for (const auto& round : rounds) ASSERT_EQ(round, kRounds);
  EXPECT_EQ(stray, 0);
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kStop});
}

TEST(Collectors, EachSleeperIsWokenForItsOwnEvent) {
  constexpr size_t kSleepers = 6;
  for (const bool past : {true, false}) {
    Queue queue;
    std::vector<Timer> timers;
    for (uintptr_t i = 0; i < kSleepers; ++i) timers.emplace_back(queue.fd(), i);
    auto sleepers = MakeSleepers(queue.fd(), kSleepers, 1, 4);
    for (size_t i = 0; i < kSleepers; ++i) {
      if (past) {
        timers[i].Expire();
      } else {
        timers[i].ArmIn(kMillisecond);
      }
      // One event, one sleeper fewer.
      AwaitAsleep(sleepers, kSleepers - i - 1);
    }
    std::vector<int> seen(kSleepers);
    for (const auto& sleeper : sleepers) {
      ASSERT_EQ(sleeper->result(), 1);
      ++seen[Cookie(sleeper->event(0))];
    }
    EXPECT_EQ(seen, std::vector<int>(kSleepers, 1));
  }
}

TEST(Collectors, SleepersAreWokenForEventsThatComeAtOnce) {
  constexpr size_t kSleepers = 6;
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < kSleepers; ++i) timers.emplace_back(queue.fd(), i);
  auto sleepers = MakeSleepers(queue.fd(), kSleepers, 1, 1);
  const Nanos moment = Now(CLOCK_MONOTONIC) + 2 * kMillisecond;
  for (const Timer& timer : timers) timer.ArmAt(moment);
  std::vector<int> seen(kSleepers);
  for (const auto& sleeper : sleepers) {
    ASSERT_EQ(sleeper->result(), 1);
    ++seen[Cookie(sleeper->event(0))];
  }
  EXPECT_EQ(seen, std::vector<int>(kSleepers, 1));
}

TEST(Collectors, AWaiterForThreeClaimsNothingAndLeavesTheQueueReadable) {
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 5; ++i) timers.emplace_back(queue.fd(), i);
  Sleeper waiter(queue.fd(), 3, 8);
  waiter.AwaitAsleep();

  timers[0].Expire();
  timers[1].Expire();
  AwaitReadable(queue.fd());
  // Another collector, content with less, takes both.
  EXPECT_EQ(Cookies(Collect(queue.fd(), 1, 8)), (std::vector<uintptr_t>{0, 1}));
  EXPECT_FALSE(Readable(queue.fd()));
  EXPECT_FALSE(waiter.returned());

  for (const size_t i : {2, 3, 4}) timers[i].Expire();
  ASSERT_EQ(waiter.result(), 3);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Cookie(waiter.event(i)), i + 2);
}

// The same with timers that expire while it waits, on two clocks.
TEST(Collectors, AWaiterForThreeLeavesTheQueueReadableWhenTimersExpire) {
  Queue queue;
  Timer one(queue.fd(), 1);
  Timer other(queue.fd(), 2, CLOCK_BOOTTIME);
  Timer last(queue.fd(), 3);
  Sleeper waiter(queue.fd(), 3, 8);
  waiter.AwaitAsleep();
  for (int i = 0; i < 20; ++i) {
    const Timer& timer = i % 2 == 0 ? one : other;
    timer.ArmIn(kMillisecond);
    AwaitReadable(queue.fd());
    EXPECT_FALSE(waiter.returned());
    EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{i % 2 == 0 ? 1u : 2u});
  }
  // And stays so, for as long as it waits.
  one.ArmIn(kMillisecond);
  SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + 2 * kMillisecond);
  waiter.AwaitAsleep();
  EXPECT_TRUE(Readable(queue.fd()));
  other.ArmIn(kMillisecond);
  last.ArmIn(2 * kMillisecond);
  EXPECT_EQ(waiter.result(), 3);
}

// The same with the modest collector asleep behind the demanding one.
TEST(Collectors, ASleeperForOneIsServedBehindASleeperForThree) {
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 5; ++i) timers.emplace_back(queue.fd(), i);
  Sleeper demanding(queue.fd(), 3, 8);
  demanding.AwaitAsleep();
  Sleeper modest(queue.fd(), 1, 8);
  modest.AwaitAsleep();

  timers[0].Expire();
  ASSERT_EQ(modest.result(), 1);
  EXPECT_EQ(Cookie(modest.event(0)), 0u);
  EXPECT_FALSE(demanding.returned());
  for (const size_t i : {1, 2, 3}) timers[i].ArmIn(static_cast<Nanos>(i) * kMillisecond);
  EXPECT_EQ(demanding.result(), 3);
}

TEST(Collectors, ASleeperForThreeBehindASleeperForOne) {
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 4; ++i) timers.emplace_back(queue.fd(), i);
  Sleeper modest(queue.fd(), 1, 1);
  modest.AwaitAsleep();
  Sleeper demanding(queue.fd(), 3, 8);
  demanding.AwaitAsleep();

  for (const Timer& timer : timers) timer.ArmIn(kMillisecond);
  EXPECT_EQ(modest.result(), 1);
  EXPECT_EQ(demanding.result(), 3);
}

// A thread asleep for more than is due is to be woken by the next deadline
// that is not yet due.
TEST(Collectors, AWaiterForTenSeesThemComeOneByOne) {
  Queue queue;
  std::vector<Timer> timers;
  const Nanos start = Now(CLOCK_MONOTONIC);
  for (uintptr_t i = 0; i < 10; ++i) {
    timers.emplace_back(queue.fd(), i);
    timers.back().ArmAt(start + static_cast<Nanos>(i) * kMillisecond);
  }
  EXPECT_EQ(Collect(queue.fd(), 10, 10).size(), 10u);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + 9 * kMillisecond);
}

TEST(Collectors, OneThatTimesOutLeavesTheOtherToBeWoken) {
  Queue queue;
  Timer timer(queue.fd(), 7);
  Sleeper first(queue.fd(), 1, 1, 5 * kMillisecond);
  first.AwaitAsleep();
  Sleeper second(queue.fd(), 1, 1);
  second.AwaitAsleep();
  EXPECT_EQ(first.result(), 0);
  timer.Expire();
  ASSERT_EQ(second.result(), 1);
  EXPECT_EQ(Cookie(second.event(0)), 7u);
}

TEST(Collectors, QueuesDoNotShareEvents) {
  Queue one;
  Queue other;
  Timer timer(one.fd(), 1);
  Timer other_timer(other.fd(), 2);
  timer.Expire();
  EXPECT_FALSE(Readable(other.fd()));
  EXPECT_EQ(CollectReady(other.fd()), std::vector<uintptr_t>{});
  other_timer.Expire();
  EXPECT_EQ(CollectReady(one.fd()), std::vector<uintptr_t>{1});
  EXPECT_EQ(CollectReady(other.fd()), std::vector<uintptr_t>{2});
}

}  // namespace
}  // namespace kevent_test
