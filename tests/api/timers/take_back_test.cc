// SPDX-License-Identifier: MIT
//
// timer_settime and timer_delete take back a completion that was not collected;
// a deleted handle stays invalid.

#include <atomic>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

void ExpectInvalid(timer_t timer) {
  const itimerspec setting = Setting(kHour);
  itimerspec value;
  ASSERT_EQ(timer_settime(timer, 0, &setting, nullptr), -1);
  ASSERT_EQ(errno, EINVAL);
  ASSERT_EQ(timer_gettime(timer, &value), -1);
  ASSERT_EQ(errno, EINVAL);
  ASSERT_EQ(timer_getoverrun(timer), -1);
  ASSERT_EQ(errno, EINVAL);
  ASSERT_EQ(timer_delete(timer), -1);
  ASSERT_EQ(errno, EINVAL);
}

// On each clock, with one timer that stays, so that what is left in the queue
// shows.
class TakeBack : public testing::TestWithParam<clockid_t> {
 protected:
  void ExpectNothing() { EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{}); }

  // An expired, uncollected completion, seen by the kernel or not.
  void ExpireTimer(bool noticed) {
    timer_.Expire();
    if (noticed) AwaitReadable(queue_.fd());
  }

  Queue queue_;
  Timer other_{queue_.fd(), 1};
  Timer timer_{queue_.fd(), 2, GetParam()};
};

TEST_P(TakeBack, ByDisarming) {
  for (const bool noticed : {false, true}) {
    ExpireTimer(noticed);
    timer_.Disarm();
    ExpectNothing();
    EXPECT_EQ(ToNanos(timer_.Get().it_value), 0);
  }
}

TEST_P(TakeBack, ByRearmingLater) {
  for (const bool noticed : {false, true}) {
    ExpireTimer(noticed);
    timer_.ArmIn(kHour);
    ExpectNothing();
    EXPECT_GT(ToNanos(timer_.Get().it_value), 0);
  }
}

TEST_P(TakeBack, ByRearmingInThePast) {
  for (const bool noticed : {false, true}) {
    timer_.ArmAt(Now(GetParam()) / 2 + 1, kMicrosecond);  // overruns
    if (noticed) AwaitReadable(queue_.fd());
    timer_.Expire();
    const std::vector<ukevent> events = Collect(queue_.fd(), 0, 8);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].ret_data[0], 0u) << "overruns of the setting before";
  }
}

TEST_P(TakeBack, ByDeleting) {
  ExpireTimer(true);
  timer_.Delete();
  ExpectNothing();
  ExpectInvalid(timer_.id());
}

TEST_P(TakeBack, OnlyOfThatTimer) {
  ExpireTimer(true);
  other_.Expire();
  timer_.Disarm();
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
}

TEST_P(TakeBack, OfAPeriodicTimerBetweenCollections) {
  timer_.ArmAt(Now(GetParam()) / 2 + 1, kMicrosecond);
  EXPECT_EQ(Collect(queue_.fd(), 1, 8).size(), 1u);
  AwaitReadable(queue_.fd());  // it expires every microsecond
  timer_.Disarm();
  ExpectNothing();
}

TEST_P(TakeBack, AndArmingAgainIsSeen) {
  for (int i = 0; i < 100; ++i) {
    timer_.Expire();
    timer_.Disarm();
    timer_.ArmIn(kHour);
    timer_.Expire();
    EXPECT_EQ(Cookies(Collect(queue_.fd(), 1, 8)), std::vector<uintptr_t>{2});
  }
}

INSTANTIATE_TEST_SUITE_P(On, TakeBack,
                         testing::Values(CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
                                         CLOCK_TAI),
                         [](const auto& test) {
                           switch (test.param) {
                             case CLOCK_REALTIME:
                               return "realtime";
                             case CLOCK_MONOTONIC:
                               return "monotonic";
                             case CLOCK_BOOTTIME:
                               return "boottime";
                             default:
                               return "tai";
                           }
                         });

// Several generations of a thousand timers each, then many that live: most of
// the slots of the deleted ones are theirs.
TEST(DeletedHandle, IsInvalidAlsoWhenItsSlotIsUsedAgain) {
  constexpr uintptr_t kGeneration = 1'000;
  constexpr uintptr_t kLiving = 100'000;
  Queue queue;
  std::vector<timer_t> deleted;
  for (int generation = 0; generation < 3; ++generation) {
    {
      std::vector<Timer> timers;
      timers.reserve(kGeneration);
      for (uintptr_t i = 0; i < kGeneration; ++i) {
        timers.emplace_back(queue.fd(), i);
        if (i % 2 == 0) timers.back().Expire();
        deleted.push_back(timers.back().id());
      }
    }
    // A slot is given back by a collection, not by timer_delete.
    EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{});
  }
  std::vector<Timer> timers;
  timers.reserve(kLiving);
  for (uintptr_t i = 0; i < kLiving; ++i) {
    timers.emplace_back(queue.fd(), i);
    timers.back().ArmIn(kHour);
  }
  for (const timer_t timer : deleted) ASSERT_NO_FATAL_FAILURE(ExpectInvalid(timer));
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{});
  // Nor did those calls reach one of the living.
  for (const Timer& timer : timers) {
    const Nanos remaining = ToNanos(timer.Get().it_value);
    ASSERT_GT(remaining, 0);
    ASSERT_LE(remaining, kHour);
  }
}

// One after the other, collected now and then.
TEST(DeletedHandle, IsInvalidThroughManyReuses) {
  Queue queue;
  std::vector<timer_t> deleted;
  for (uintptr_t i = 0; i < 10'000; ++i) {
    Timer timer(queue.fd(), i);
    timer.Expire();
    if (i % 3 == 0) {
      ASSERT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{i});
    }
    deleted.push_back(timer.id());
  }
  for (const timer_t timer : deleted) ASSERT_NO_FATAL_FAILURE(ExpectInvalid(timer));
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{});
}

TEST(DeletedHandle, IsInvalidWhileItsQueueIsClosed) {
  timer_t timer;
  {
    Queue queue;
    Timer deleted(queue.fd(), 1);
    timer = deleted.id();
  }
  ExpectInvalid(timer);
}

// Events that a collector takes after timer_settime has returned are those of
// the new setting.  The overrun count tells them apart: the old setting has
// overruns, the new one has none.
TEST(TakeBackRace, NothingOfTheOldSettingIsClaimedAfterSettime) {
  constexpr int kRounds = 20'000;
  Queue queue;
  Timer timer(queue.fd(), 1);
  std::atomic<bool> stop = false;
  std::atomic<int> settings = 0;
  std::atomic<int> stale = 0;
  Thread collector([&] {
    while (!stop) {
      const int before = settings;  // of which 2n+1 is one without overruns, made and lasting
      for (const ukevent& event : Collect(queue.fd(), 0, 1)) {
        const int after = settings;
        stale += before == after && before % 2 == 1 && event.ret_data[0] != 0;
      }
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    timer.ArmAt(Now(CLOCK_MONOTONIC) / 2, kSecond / 10);
    timer.Expire();
    ++settings;
    sched_yield();
    ++settings;
  }
  stop = true;
  collector.Join();
  EXPECT_EQ(stale, 0);
}

}  // namespace
}  // namespace kevent_test
