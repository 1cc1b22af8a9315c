// SPDX-License-Identifier: MIT
//
// The two timers of the monotonic clock, which take turns, in a queue on simulated time.

#include "core/queue/second_timer.h"

#include <sys/epoll.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/engine.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {
namespace {

using kevent::core::kMonotonicAxis;
using kevent::core::NextDeadlines;
using kevent::core::Registration;
using kevent::core::Registry;

TEST(NextDeadlines, AreApartFromThirtyMicrosecondsOn) {
  EXPECT_TRUE((NextDeadlines{kSecond, kSecond + 30 * kMicrosecond}.AreApart()));
  EXPECT_FALSE((NextDeadlines{kSecond, kSecond + 30 * kMicrosecond - 1}.AreApart()));
  EXPECT_FALSE((NextDeadlines{kSecond, 0}.AreApart()));
  EXPECT_FALSE((NextDeadlines{0, 0}.AreApart()));
}

class Timers : public EngineTest {
 protected:
  ~Timers() override {
    for (const Handle timer : timers_) EXPECT_EQ(Delete(timer), 0);
  }

  void Add() { timers_.push_back(Create(queue_, CLOCK_MONOTONIC, timers_.size())); }

  // Timers that expire so long from now, and the first of them is collected already.
  void AddAt(const std::vector<uint64_t>& ahead) {
    begin_ = Sim().Now(CLOCK_MONOTONIC);
    for (const uint64_t its : ahead) {
      Add();
      ASSERT_EQ(SetIn(timers_.back(), its), 0);
    }
    ASSERT_EQ(Collect(queue_, 1).size(), 1);
  }

  // The number of the first or of the second timer, or -1.
  static int NumberOf(uint16_t role) {
    for (const auto& [number, file] : Sim().table_) {
      const Registration found = Registry::Get(number);
      if (found.is_internal() && found.role() == role) return number;
    }
    return -1;
  }
  static int second() { return NumberOf(kevent::core::kRoleSecondTimer); }

  // What a timer is set to, from begin_ on; 0: to nothing.
  uint64_t SetTo(uint16_t role) const {
    const int number = NumberOf(role);
    const uint64_t moment = number < 0 ? 0 : Sim().File(number)->moment;
    return moment == 0 ? 0 : moment - begin_;
  }
  void ExpectSetTo(uint64_t first, uint64_t second) const {
    EXPECT_EQ(SetTo(kMonotonicAxis), first);
    EXPECT_EQ(SetTo(kevent::core::kRoleSecondTimer), second);
  }

  // Collects nothing, and nothing is left that would make it look again before that moment.
  void InVain(uint64_t moment) {
    Sim().Advance(begin_ + moment - Sim().Now(CLOCK_MONOTONIC));
    EXPECT_TRUE(readable());
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_FALSE(readable());
  }

  std::vector<Handle> timers_;
  uint64_t begin_ = 0;
};

// Each is set one wake-up ahead, by one call a wake-up, and never as the earliest.
TEST_F(Timers, TakeTurns) {
  constexpr uint64_t kGap = 100 * kMicrosecond;
  constexpr uint64_t kTimers = 40;
  begin_ = Sim().Now(CLOCK_MONOTONIC);
  for (uint64_t i = 1; i <= kTimers; ++i) {
    Add();
    ASSERT_EQ(SetIn(timers_.back(), i * kGap), 0);
  }
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(2 * kGap, 3 * kGap);
  for (uint64_t i = 2; i < kTimers - 1; ++i) {
    const int before = CallCount("ArmTimerfd");
    ASSERT_EQ(Collect(queue_, 1).size(), 1);
    ASSERT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, i * kGap);
    EXPECT_EQ(CallCount("ArmTimerfd"), before + 1);
    i % 2 == 0 ? ExpectSetTo((i + 2) * kGap, (i + 1) * kGap)
               : ExpectSetTo((i + 1) * kGap, (i + 2) * kGap);
  }
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(0, 0);
}

TEST_F(Timers, PeriodAfterPeriod) {
  Add();
  Add();
  begin_ = Sim().Now(CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timers_[0], 100 * kMicrosecond, 200 * kMicrosecond), 0);
  ASSERT_EQ(SetIn(timers_[1], 200 * kMicrosecond, 200 * kMicrosecond), 0);
  for (uint64_t i = 1; i < 100; ++i) {
    const std::vector<ukevent> events = Collect(queue_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ret_data[0], 0);
    ASSERT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, i * 100 * kMicrosecond);
  }
}

TEST_F(Timers, ThatFollowCloselyAreOneTimers) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 230 * kMicrosecond - 1, kMillisecond});
  ExpectSetTo(200 * kMicrosecond, 0);
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(230 * kMicrosecond - 1, kMillisecond);
}

// What was told ahead is not left to the second timer if another deadline follows closely.
TEST_F(Timers, ThatAreFollowedCloselyAreTheFirstTimers) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, kMillisecond});
  ExpectSetTo(200 * kMicrosecond, 300 * kMicrosecond);
  ASSERT_EQ(Set(timers_[0], TIMER_ABSTIME, begin_ + 330 * kMicrosecond - 1), 0);
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(300 * kMicrosecond, 300 * kMicrosecond);
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(330 * kMicrosecond - 1, kMillisecond);
}

// An armer's deadline, wherever it lies, is the first timer's.
TEST_F(Timers, AreLoweredByArmersAsOneIs) {
  AddAt({100, 300 * kMicrosecond, 600 * kMicrosecond, kMillisecond, 2 * kMillisecond});
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(kMillisecond, 600 * kMicrosecond);
  for (const uint64_t ahead : {800 * kMicrosecond, 500 * kMicrosecond}) {
    ASSERT_EQ(Set(timers_[0], TIMER_ABSTIME, begin_ + ahead), 0);
    ExpectSetTo(ahead, 600 * kMicrosecond);
  }
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, 500 * kMicrosecond);
  ExpectSetTo(kMillisecond, 600 * kMicrosecond);
}

// What was told ahead is not told again.
TEST_F(Timers, AreNotSetToWhatTheyAreSetTo) {
  AddAt({100 * kMicrosecond, 300 * kMicrosecond, 600 * kMicrosecond, kMillisecond});
  ExpectSetTo(300 * kMicrosecond, 600 * kMicrosecond);
  ASSERT_EQ(Set(timers_[0], TIMER_ABSTIME, begin_ + 200 * kMicrosecond), 0);
  const int before = CallCount("ArmTimerfd");
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(300 * kMicrosecond, 600 * kMicrosecond);
  EXPECT_EQ(CallCount("ArmTimerfd"), before + 1);
}

// Two cancelled heads cost one wake-up in vain, whichever of the timers has which.
TEST_F(Timers, WakeInVainOnceOnly) {
  const std::vector<uint64_t> ahead = {100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond,
                                       400 * kMicrosecond, 5 * kMillisecond,   6 * kMillisecond};
  AddAt(ahead);
  ExpectSetTo(ahead[1], ahead[2]);
  EXPECT_EQ(SetIn(timers_[1], 0), 0);
  EXPECT_EQ(SetIn(timers_[2], 0), 0);
  InVain(ahead[1]);
  ExpectSetTo(ahead[3], ahead[4]);
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(ahead[5], ahead[4]);
  EXPECT_EQ(SetIn(timers_[4], 0), 0);
  EXPECT_EQ(SetIn(timers_[5], 0), 0);
  InVain(ahead[4]);
  ExpectSetTo(0, 0);
}

// A second timer that comes in vain is set, and a first one that is right is not.
TEST_F(Timers, AreSetNoMoreThanNeeded) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, kMillisecond});
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  ExpectSetTo(kMillisecond, 300 * kMicrosecond);
  EXPECT_EQ(SetIn(timers_[2], 0), 0);
  const int before = CallCount("ArmTimerfd");
  InVain(300 * kMicrosecond);
  ExpectSetTo(kMillisecond, 0);
  EXPECT_EQ(CallCount("ArmTimerfd"), before + 1);
}

// While the second timer that has come makes the queue readable, nothing else has to.
TEST_F(Timers, AreEnoughToAnnounceWhatIsLeft) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, kMillisecond});
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  Sim().Advance(100 * kMicrosecond);
  const int before = CallCount("EpollModify") + CallCount("EpollAdd");
  kevent::core::Queue& queue = kevent::core::Queues::At(Registry::Get(queue_).queue());
  queue.LookAnew();
  EXPECT_TRUE(readable());
  EXPECT_EQ(CallCount("EpollModify") + CallCount("EpollAdd"), before);
  EXPECT_EQ(Collect(queue_).size(), 1);
}

// It is made when there are two timers to take turns for, and closed with its queue.
TEST_F(Timers, AreTwoForTwoTimersOnTheMonotonicClock) {
  const auto of_other_clock = Create(queue_, CLOCK_BOOTTIME);
  const auto of_another = Create(queue_, CLOCK_BOOTTIME);
  Add();
  EXPECT_EQ(second(), -1);
  Add();
  const int made = second();
  EXPECT_NE(made, -1);
  Add();
  EXPECT_EQ(second(), made);
  EXPECT_EQ(Delete(of_other_clock), 0);
  EXPECT_EQ(Delete(of_another), 0);
  kevent::core::CloseDescriptor(queue_);
  EXPECT_FALSE(Sim().IsOpen(made));
}

// Relative timers on CLOCK_REALTIME are on the monotonic clock.
TEST_F(Timers, AreTwoForRelativeOnesOnRealtime) {
  timers_ = {Create(queue_, CLOCK_REALTIME), Create(queue_, CLOCK_REALTIME)};
  EXPECT_NE(second(), -1);
}

TEST_F(Timers, AreOneWithoutADescriptorAndTwoAgainAfterwards) {
  Add();
  std::string failed;
  Sim().before_call = [&](const std::string& call) {
    if (call != "CreateTimerfd" || !failed.empty()) return;
    failed = call;
    Sim().FailCall(1, EMFILE);
  };
  Add();
  Sim().before_call = nullptr;
  EXPECT_FALSE(failed.empty() || Sim().failure_pending());
  EXPECT_EQ(second(), -1);
  for (uint64_t i = 1; i <= 2; ++i) EXPECT_EQ(SetIn(timers_[i - 1], i * kMillisecond), 0);
  EXPECT_EQ(Collect(queue_, 1).size(), 1);
  EXPECT_EQ(Collect(queue_, 1).size(), 1);
  Add();
  EXPECT_NE(second(), -1);
}

// A leader that holds sleeps on the first timer.  Another thread takes what is due meanwhile, and
// must leave the next deadline to that.
TEST_F(Timers, LeaveNothingToTheSecondWhileALeaderHolds) {
  AddAt({100 * kMicrosecond, kMillisecond, 2 * kMillisecond, 3 * kMillisecond, 4 * kMillisecond});
  int polls = 0;
  Sim().before_call = [&](const std::string& call) {
    if (call != "Poll" || ++polls != 2) return;
    // It holds, with one due.
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, kMillisecond);
    EXPECT_EQ(SetTo(kMonotonicAxis), 2 * kMillisecond);
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(SetTo(kMonotonicAxis), 2 * kMillisecond);
    EXPECT_FALSE(readable());
  };
  EXPECT_EQ(Collect(queue_, 2).size(), 2);
  Sim().before_call = nullptr;
  EXPECT_GE(polls, 3);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, 3 * kMillisecond);
}

// Both that have come announce what is left; a look at kevents finds them beside these.
TEST_F(Timers, BothHaveComeAndKeventsAreReady) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, kSecond});
  std::vector<int> ready;
  for (int i = 0; i < 4; ++i) {
    ready.push_back(Sim().OpenStranger());
    const auto id = static_cast<uint64_t>(ready.back());
    ASSERT_EQ(kevent_test::Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
    Sim().SetReady(ready.back(), EPOLLIN);
  }
  Sim().Advance(400 * kMicrosecond);
  EXPECT_EQ(Collect(queue_, 0, 6).size(), 6);
  for (const int fd : ready) Sim().SetReady(fd, 0);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
  ExpectSetTo(kSecond, 0);
  for (const int fd : ready) kevent::sys::Close(fd);
}

TEST_F(Timers, MoveOutOfTheWayOfADup2) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, 400 * kMicrosecond});
  const int before = second();
  const int stranger = Sim().OpenStranger();
  ASSERT_EQ(kevent::core::DuplicateTo(stranger, before), before);
  EXPECT_NE(second(), -1);
  EXPECT_NE(second(), before);
  ExpectSetTo(200 * kMicrosecond, 300 * kMicrosecond);
  for (uint64_t i = 2; i <= 4; ++i) {
    ASSERT_EQ(Collect(queue_, 1).size(), 1);
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, i * 100 * kMicrosecond);
  }
  kevent::core::CloseDescriptor(before);
  kevent::sys::Close(stranger);
}

// The number was closed by a system call that the library does not see, and is a stranger's: that
// is not set, and nothing is left to it again.
TEST_F(Timers, AreOneWhenTheSecondIsLost) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, 400 * kMicrosecond,
         500 * kMicrosecond, 600 * kMicrosecond});
  Sim().ReplaceBehindBack(second());
  Sim().Advance(200 * kMicrosecond);
  EXPECT_EQ(Collect(queue_).size(), 2);
  EXPECT_EQ(SetTo(kMonotonicAxis), 400 * kMicrosecond);
  for (uint64_t i = 4; i <= 6; ++i) {
    ASSERT_EQ(Collect(queue_, 1).size(), 1);
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - begin_, i * 100 * kMicrosecond);
  }
}

// A sandbox that refuses to set the second timer refuses to set the first: a call that would sleep
// fails.
TEST_F(Timers, KeepARefusalOfTheSecond) {
  AddAt({100 * kMicrosecond, 200 * kMicrosecond, 300 * kMicrosecond, 400 * kMicrosecond,
         500 * kMicrosecond});
  ASSERT_EQ(Collect(queue_, 1).size(), 1);
  const uint64_t first = SetTo(kMonotonicAxis);
  Sim().arming_refused = EPERM;
  ASSERT_EQ(Collect(queue_, 1).size(), 1);  // the second has come, and the first needs no call
  Sim().arming_refused = 0;
  ExpectSetTo(first, 300 * kMicrosecond);
  int result = 0;
  Collect(queue_, 1, 8, nullptr, &result);
  EXPECT_EQ(result, -EPERM);
}

}  // namespace
}  // namespace kevent_test
