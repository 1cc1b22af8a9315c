// SPDX-License-Identifier: MIT
//
// kevent_get_events as a cancellation point: while it sleeps, and never with a
// completion in its hands.

#include <atomic>
#include <memory>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// Collects for ever, one at a time, and counts.  Between the return of the call
// and the counting there is no cancellation point.
class Counter {
 public:
  explicit Counter(int queue)
      : thread_([this, queue] {
          ukevent event;
          while (kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1) ++count_;
        }) {}

  void AwaitAsleep() const { thread_.AwaitAsleep(); }
  void Cancel() const { thread_.Cancel(); }
  bool Join() { return thread_.Join(); }
  int count() const { return count_; }

 private:
  std::atomic<int> count_ = 0;
  Thread thread_;
};

TEST(Cancellation, EndsASleep) {
  Queue queue;
  Sleeper sleeper(queue.fd(), 1, 1);
  sleeper.AwaitAsleep();
  sleeper.thread().Cancel();
  EXPECT_TRUE(sleeper.thread().Join());
}

TEST(Cancellation, EndsASleepWithATimeoutAndAMask) {
  Queue queue;
  Thread sleeper([&] {
    sigset_t mask;
    sigemptyset(&mask);
    const timespec timeout = ToTimespec(kHour);
    ukevent event;
    kevent_pget_events(queue.fd(), 1, 1, &timeout, &event, 0, &mask);
  });
  sleeper.AwaitAsleep();
  sleeper.Cancel();
  EXPECT_TRUE(sleeper.Join());
}

TEST(Cancellation, OfTheFirstSleeperLeavesTheOthersToBeWoken) {
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 3; ++i) timers.emplace_back(queue.fd(), i);
  Sleeper first(queue.fd(), 1, 1);
  first.AwaitAsleep();
  Sleeper second(queue.fd(), 1, 1);
  second.AwaitAsleep();
  Sleeper third(queue.fd(), 1, 1);
  third.AwaitAsleep();

  first.thread().Cancel();
  EXPECT_TRUE(first.thread().Join());
  timers[0].Expire();
  timers[1].ArmIn(kMillisecond);
  EXPECT_EQ(second.result(), 1);
  EXPECT_EQ(third.result(), 1);
  EXPECT_EQ(Cookie(second.event(0)) + Cookie(third.event(0)), 1u);
}

TEST(Cancellation, OfLaterSleepersLeavesTheOthersToBeWoken) {
  for (const size_t cancelled : {1u, 2u, 3u}) {
    Queue queue;
    std::vector<Timer> timers;
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    for (uintptr_t i = 0; i < 4; ++i) {
      timers.emplace_back(queue.fd(), i);
      sleepers.push_back(std::make_unique<Sleeper>(queue.fd(), 1, 1));
      sleepers.back()->AwaitAsleep();
    }
    sleepers[cancelled]->thread().Cancel();
    EXPECT_TRUE(sleepers[cancelled]->thread().Join());
    for (size_t i = 0; i < 3; ++i) timers[i].Expire();
    for (size_t i = 0; i < 4; ++i) {
      if (i != cancelled) {
        EXPECT_EQ(sleepers[i]->result(), 1);
      }
    }
  }
}

TEST(Cancellation, OfAllSleepersLeavesTheQueueWorking) {
  Queue queue;
  Timer timer(queue.fd(), 9);
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.push_back(std::make_unique<Sleeper>(queue.fd(), 1, 1));
      sleepers.back()->AwaitAsleep();
    }
    for (const auto& sleeper : sleepers) sleeper->thread().Cancel();
    for (const auto& sleeper : sleepers) EXPECT_TRUE(sleeper->thread().Join());
    timer.ArmIn(kMillisecond);
    EXPECT_EQ(Cookies(Collect(queue.fd(), 1, 1)), std::vector<uintptr_t>{9});
  }
}

// A cancellation is acted upon while the call sleeps, not when it has something
// to return.
TEST(Cancellation, PendingDoesNotTakeAnEventThatIsReady) {
  Queue queue;
  Timer timer(queue.fd(), 3);
  timer.Expire();
  int result = 0;
  uintptr_t cookie = 0;
  Thread thread([&] {
    pthread_cancel(pthread_self());
    ukevent event;
    result = kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0);
    cookie = Cookie(event);
    pthread_testcancel();
  });
  EXPECT_TRUE(thread.Join());
  EXPECT_EQ(result, 1);
  EXPECT_EQ(cookie, 3u);
}

TEST(Cancellation, PendingTakesNothingWhenThereIsTooLittle) {
  Queue queue;
  Timer timer(queue.fd(), 3);
  timer.Expire();
  std::atomic<bool> returned = false;
  Thread thread([&] {
    pthread_cancel(pthread_self());
    ukevent events[2];
    kevent_get_events(queue.fd(), 2, 2, nullptr, events, 0);  // sleeps for the second
    returned = true;
  });
  EXPECT_TRUE(thread.Join());
  EXPECT_FALSE(returned);
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{3});
}

TEST(Cancellation, DisabledIsNotActedUpon) {
  Queue queue;
  Timer timer(queue.fd(), 3);
  int result = 0;
  Thread thread([&] {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    ukevent event;
    result = kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0);
  });
  thread.AwaitAsleep();
  thread.Cancel();
  timer.Expire();
  EXPECT_FALSE(thread.Join());
  EXPECT_EQ(result, 1);
}

// Events and cancellations at the same time: whatever the cancelled threads did
// not return is still there.
TEST(Cancellation, LosesNoEvent) {
  constexpr int kRounds = 300;
  constexpr size_t kTimers = 8;
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < kTimers; ++i) timers.emplace_back(queue.fd(), i);
  for (int round = 0; round < kRounds; ++round) {
    Counter one(queue.fd());
    Counter other(queue.fd());
    if (round % 3 == 0) other.AwaitAsleep();
    for (size_t i = 0; i < kTimers; ++i) {
      if (i == kTimers / 2) one.Cancel();
      if (i % 2 == 0) {
        timers[i].Expire();
      } else {
        timers[i].ArmIn(static_cast<Nanos>(i) * 5 * kMicrosecond);
      }
    }
    other.Cancel();
    EXPECT_TRUE(one.Join());
    EXPECT_TRUE(other.Join());
    const int taken = one.count() + other.count();
    ASSERT_LE(taken, static_cast<int>(kTimers));
    const size_t left = kTimers - static_cast<size_t>(taken);
    if (left > 0) {
      ASSERT_EQ(Collect(queue.fd(), static_cast<unsigned>(left), kTimers).size(), left);
    }
    ASSERT_TRUE(CollectReady(queue.fd()).empty());
  }
}

}  // namespace
}  // namespace kevent_test
