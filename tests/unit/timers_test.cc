// SPDX-License-Identifier: MIT
//
// The semantics of timers, row by row, on simulated time.

#include <fcntl.h>
#include <gmock/gmock.h>

#include <climits>
#include <string>
#include <utility>

#include "core/calls/dump.h"
#include "core/timers/slot_table.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::kLastGeneration;
using kevent::core::Registry;
using kevent::core::SlotTable;

class Timers : public EngineTest {};

TEST_F(Timers, TheEventRecord) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC, 0x1234);
  ASSERT_EQ(SetIn(timer, kMillisecond), 0);
  Sim().Advance(kMillisecond + 7);
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, timer.bits());
  EXPECT_EQ(events[0].type, KEVENT_POSIX_TIMER);
  EXPECT_EQ(events[0].event, KEVENT_TIMER_FIRED);
  EXPECT_EQ(events[0].req_flags, 0);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_DONE);
  EXPECT_EQ(events[0].ret_data[0], 0);
  EXPECT_EQ(events[0].ret_data[1], 7);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(0x1234));
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, NeverEarly) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, 1000), 0);
  Sim().Advance(999);
  EXPECT_FALSE(readable());
  EXPECT_TRUE(Collect(queue_).empty());
  Sim().Advance(1);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, OneCompletionWhileNobodyCollects) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, 10 * kMillisecond, 10 * kMillisecond), 0);
  Sim().Advance(105 * kMillisecond);
  EXPECT_EQ(Overrun(timer), 0);  // nothing was collected yet
  std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], 9);
  EXPECT_EQ(events[0].ret_data[1], 5 * kMillisecond);
  EXPECT_EQ(Overrun(timer), 9);
  EXPECT_EQ(Get(timer).value, 5 * kMillisecond);  // the phase is kept
  Sim().Advance(5 * kMillisecond);
  events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], 0);
  EXPECT_EQ(Overrun(timer), 0);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, OverrunsAndLatenessSaturate) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1, 1), 0);
  std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], INT_MAX);
  EXPECT_EQ(Overrun(timer), INT_MAX);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[1], UINT32_MAX);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, SettingTakesBackAnUncollectedCompletion) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  for (const uint64_t again : {uint64_t{0}, kSecond}) {
    ASSERT_EQ(SetIn(timer, kMillisecond), 0);
    Sim().Advance(2 * kMillisecond);
    ASSERT_TRUE(readable());
    Old old;
    ASSERT_EQ(Set(timer, 0, again, 0, &old), 0);
    EXPECT_EQ(old.value, 0);
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_FALSE(readable());
  }
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, DeletionTakesItBackToo) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, kMillisecond), 0);
  Sim().Advance(2 * kMillisecond);
  ASSERT_EQ(Delete(timer), 0);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
}

TEST_F(Timers, ANewSettingResetsTheOverruns) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, 10, 10), 0);
  Sim().Advance(95);
  ASSERT_EQ(Collect(queue_).size(), 1);
  ASSERT_EQ(Overrun(timer), 8);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  EXPECT_EQ(Overrun(timer), 0);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, OldSettings) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  Old old;
  ASSERT_EQ(Set(timer, 0, 1000, 50, &old), 0);
  EXPECT_EQ(old.value, 0);
  EXPECT_EQ(old.interval, 0);
  Sim().Advance(400);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, Sim().Now(CLOCK_MONOTONIC) + 30, 20, &old), 0);
  EXPECT_EQ(old.value, 600);
  EXPECT_EQ(old.interval, 50);
  Sim().Advance(35);
  ASSERT_EQ(Set(timer, 0, 0, 5 * kSecond, &old), 0);  // disarms, and keeps no interval
  EXPECT_EQ(old.value, 15);
  EXPECT_EQ(old.interval, 20);
  EXPECT_EQ(Get(timer).interval, 0);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, UnknownFlagBitsAreIgnored) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(timer, 0x40, 1000), 0);
  EXPECT_EQ(Get(timer).value, 1000);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, RelativeOnesDoNotMoveWhenTheClockIsSet) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_TAI}) {
    const Handle timer = Create(queue_, clock);
    ASSERT_EQ(SetIn(timer, kSecond), 0);
    Sim().SetRealtime(3600 * static_cast<int64_t>(kSecond));
    EXPECT_EQ(Get(timer).value, kSecond);
    EXPECT_TRUE(Collect(queue_).empty());
    Sim().SetRealtime(-7200 * static_cast<int64_t>(kSecond));
    Sim().Advance(kSecond);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(Delete(timer), 0);
  }
}

TEST_F(Timers, AbsoluteOnesFollowTheClock) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_TAI}) {
    const Handle timer = Create(queue_, clock);
    ASSERT_EQ(Set(timer, TIMER_ABSTIME, Sim().Now(clock) + 3600 * kSecond), 0);
    EXPECT_FALSE(readable());
    Sim().SetRealtime(3599 * static_cast<int64_t>(kSecond));
    EXPECT_EQ(Get(timer).value, kSecond);
    EXPECT_TRUE(Collect(queue_).empty());  // readable in vain, once
    EXPECT_FALSE(readable());
    Sim().SetRealtime(-10 * static_cast<int64_t>(kSecond));
    Sim().Advance(kSecond);
    Collect(queue_);
    EXPECT_FALSE(readable());
    Sim().Advance(10 * kSecond);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(Delete(timer), 0);
  }
}

TEST_F(Timers, ALeapSecondDoesNotMoveTai) {
  const Handle timer = Create(queue_, CLOCK_TAI);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, Sim().Now(CLOCK_TAI) + 10 * kSecond), 0);
  Sim().SetTaiOffset(Sim().Now(CLOCK_TAI) - Sim().Now(CLOCK_REALTIME) + kSecond);
  Collect(queue_);
  Sim().Advance(10 * kSecond - 1);
  EXPECT_FALSE(readable());
  Sim().Advance(1);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, BoottimeGoesOnInSuspend) {
  const Handle timer = Create(queue_, CLOCK_BOOTTIME);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  Sim().Suspend(2 * kSecond);
  EXPECT_TRUE(readable());
  ASSERT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, CpuTime) {
  for (const clockid_t clock : {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, -2, -80}) {
    const Handle timer = Create(queue_, clock);
    ASSERT_EQ(SetIn(timer, kSecond, kSecond), 0);
    Sim().Advance(2 * kSecond - 2);  // half of a core
    EXPECT_FALSE(readable());
    Sim().Advance(2);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_FALSE(readable());
    Sim().Advance(4 * kSecond);
    const std::vector<ukevent> events = Collect(queue_);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ret_data[0], 1);
    EXPECT_EQ(Delete(timer), 0);
  }
  Collect(queue_);
  // The thread has one of its own, by which it looks whether it is still needed.
  Sim().Advance(kSecond);
  EXPECT_TRUE(Sim().alarms_.empty());  // and so no charge on RLIMIT_SIGPENDING
}

// Relative timers of CLOCK_REALTIME are kept on CLOCK_MONOTONIC: the order is that of
// one clock, however long it takes to read the other.
TEST_F(Timers, APreemptionBetweenTwoReadingsChangesNoOrder) {
  const Handle relative = Create(queue_, CLOCK_REALTIME, 1);
  const Handle absolute = Create(queue_, CLOCK_REALTIME, 2);
  ASSERT_EQ(SetIn(relative, 1000), 0);
  ASSERT_EQ(Set(absolute, TIMER_ABSTIME, Sim().Now(CLOCK_REALTIME) + 2000), 0);
  Sim().Advance(3000);
  Sim().preempted_for = 5000;
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(1));
  EXPECT_EQ(events[1].ptr, reinterpret_cast<void*>(2));
  EXPECT_EQ(Delete(relative), 0);
  EXPECT_EQ(Delete(absolute), 0);
}

// As the kernel's, which has forgotten it.
TEST_F(Timers, OfAClockThatHasEndedNothingIsLeft) {
  constexpr clockid_t kClock = -5679 * 8 + 6;
  const Handle timer = Create(queue_, kClock);
  ASSERT_EQ(SetIn(timer, 10 * kSecond, 3 * kSecond), 0);
  EXPECT_EQ(Get(timer).interval, 3 * kSecond);
  Sim().EndThread(kClock);
  EXPECT_EQ(Get(timer).value, 0);
  EXPECT_EQ(Get(timer).interval, 0);
  EXPECT_EQ(Delete(timer), 0);
  Sim().BeginThread(kClock);
}

// The kernel's timer of CPU time may expire a little before the clock reads so.
TEST_F(Timers, AnAlarmBeforeItsTimeIsArmedAgain) {
  const Handle timer = Create(queue_, CLOCK_PROCESS_CPUTIME_ID);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  for (auto& [number, alarm] : Sim().alarms_) alarm.moment -= kMillisecond;
  Sim().Advance(2 * kSecond - kMillisecond);
  EXPECT_TRUE(readable());  // in vain, once
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
  Sim().Advance(kMillisecond);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
}

// Whoever looks at the clock may collect an expiration before the thread runs that the
// kernel's timer of CPU time wakes.
TEST_F(Timers, AnAlarmThatIsToldOfLateIsInVainOnce) {
  const Handle timer = Create(queue_, CLOCK_PROCESS_CPUTIME_ID);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  bool collected = false;
  Sim().before_call = [&](const std::string& function) {
    if (collected || function != "WaitForAlarm") return;
    collected = true;
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(SetIn(timer, kSecond), 0);
  };
  Sim().Advance(2 * kSecond);  // of which the process has half
  Sim().before_call = nullptr;
  EXPECT_TRUE(collected);
  EXPECT_TRUE(readable());
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
  Sim().Advance(2 * kSecond);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
}

// Asked whether its thread lives, an alarm whose moment has come would expire again.
TEST_F(Timers, AnAlarmOfAThreadExpiresOnce) {
  constexpr clockid_t kClock = -5678 * 8 + 6;
  const Handle timer = Create(queue_, kClock);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  Sim().Advance(2 * kSecond);  // of which the thread has half
  EXPECT_TRUE(readable());
  Get(timer);
  const Handle other = Create(queue_, kClock);
  EXPECT_EQ(Collect(queue_).size(), 1);
  Sim().Advance(1);
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(timer), 0);
  EXPECT_EQ(Delete(other), 0);
}

// The number of its alarm is no descriptor.
TEST_F(Timers, AnAlarmThatGoesWhileItIsSetTouchesNoDescriptor) {
  constexpr clockid_t kClock = -6789 * 8 + 6;
  const Handle timer = Create(queue_, kClock);
  int arms = 0;  // the first asks whether the thread lives
  Sim().before_call = [&](const std::string& function) {
    if (function != "ArmAlarm" || ++arms != 2) return;
    EXPECT_EQ(Delete(timer), 0);
    Collect(queue_);
  };
  const int before = Sim().calls["EpollDelete"];
  EXPECT_EQ(SetIn(timer, kSecond), 0);
  Sim().before_call = nullptr;
  EXPECT_EQ(Sim().calls["EpollDelete"], before);
  Sim().violations.clear();  // it is set although it has gone, as in the kernel
}

TEST_F(Timers, TheClockOfAThreadThatHasEnded) {
  constexpr clockid_t kClock = -1234 * 8 + 6;
  const Handle timer = Create(queue_, kClock);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  Sim().EndThread(kClock);
  EXPECT_EQ(SetIn(timer, kSecond), ESRCH);
  EXPECT_EQ(Set(timer, TIMER_ABSTIME, kSecond), ESRCH);
  EXPECT_EQ(Get(timer).value, 0);
  Sim().Advance(10 * kSecond);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_EQ(Delete(timer), 0);
}

// While a timer on the clock of a thread that has ended is left, a thread is
// made that has the same id.
TEST_F(Timers, TheClockOfAThreadWhoseIdIsUsedAgain) {
  constexpr clockid_t kClock = -4321 * 8 + 6;
  const Handle left = Create(queue_, kClock);
  ASSERT_EQ(SetIn(left, kSecond), 0);
  Sim().EndThread(kClock);
  Sim().BeginThread(kClock);
  // Nothing of the other thread's time.
  EXPECT_EQ(SetIn(left, kSecond), ESRCH);
  EXPECT_EQ(Set(left, TIMER_ABSTIME, kSecond), ESRCH);
  EXPECT_EQ(Get(left).value, 0);
  Sim().Advance(10 * kSecond);
  EXPECT_TRUE(Collect(queue_).empty());
  const Handle timer = Create(queue_, kClock);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  Sim().Advance(10 * kSecond);
  EXPECT_TRUE(Sim().Readable(queue_));
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, timer.bits());
  EXPECT_EQ(Delete(timer), 0);
  EXPECT_EQ(Delete(left), 0);
}

// By another thread, while this one collects: what is later than what is in the
// batch already is for the next.
TEST_F(Timers, WhatIsArmedIntoThePastDuringACollectionKeepsTheOrder) {
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  const Handle second = Create(queue_, CLOCK_MONOTONIC);
  const uint64_t now = Sim().Now(CLOCK_MONOTONIC);
  for (const bool before_the_first : {true, false}) {
    ASSERT_EQ(Set(first, TIMER_ABSTIME, now - 10), 0);
    bool armed = false;
    Sim().before_call = [&](const std::string& function) {
      if (armed || function != "EpollTake") return;
      armed = true;
      EXPECT_EQ(Set(second, TIMER_ABSTIME, before_the_first ? now - 20 : now - 5), 0);
    };
    const std::vector<ukevent> events = Collect(queue_);
    Sim().before_call = nullptr;
    EXPECT_TRUE(armed);
    ASSERT_EQ(events.size(), before_the_first ? 1 : 2);
    EXPECT_EQ(events[0].id.raw_u64, first.bits());
    EXPECT_EQ(readable(), before_the_first);
    EXPECT_EQ(Collect(queue_).size(), before_the_first ? 1 : 0);
  }
  EXPECT_EQ(Delete(first), 0);
  EXPECT_EQ(Delete(second), 0);
}

// An armer that is slow has announced late what was collected meanwhile, and has
// yet to see that: who comes then makes an edge nevertheless.
TEST_F(Timers, ASlowerThreadsAnnouncementHasNoEdgeLeft) {
  const int poller = kevent::sys::CreateEpoll();
  ASSERT_EQ(kevent::sys::EpollAdd(poller, queue_, EPOLLIN | EPOLLET, 1), 0);
  const auto edge = [poller] {
    epoll_event event;
    return kevent::sys::EpollTake(poller, &event, 1) == 1;
  };
  const Handle slow = Create(queue_, CLOCK_MONOTONIC);
  const Handle next = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(slow, TIMER_ABSTIME, 1), 0);
  ASSERT_EQ(Collect(queue_).size(), 1);
  edge();

  std::vector<std::string> stages;
  Sim().before_call = [&](const std::string& function) {
    if (function == "EpollModify" && stages.empty()) {
      EXPECT_EQ(Collect(queue_).size(), 1);
      stages.push_back(function);
    } else if (function == "EpollDelete" && stages.size() == 1) {
      stages.push_back(function);
      EXPECT_TRUE(edge());
      EXPECT_EQ(Set(next, TIMER_ABSTIME, 1), 0);
      EXPECT_TRUE(edge());
    }
  };
  ASSERT_EQ(Set(slow, TIMER_ABSTIME, 1), 0);
  Sim().before_call = nullptr;
  EXPECT_EQ(stages.size(), 2);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_FALSE(readable());
  kevent::sys::Close(poller);
  EXPECT_EQ(Delete(slow), 0);
  EXPECT_EQ(Delete(next), 0);
}

// While another thread polls, the kernel may show the collector nothing of what is ready:
// no announcement is left on for that, which would make the queue readable for ever and
// have no edge for the next.
TEST_F(Timers, AnAnnouncementThatTheKernelDoesNotShowIsWithdrawn) {
  const int poller = kevent::sys::CreateEpoll();
  ASSERT_EQ(kevent::sys::EpollAdd(poller, queue_, EPOLLIN | EPOLLET, 1), 0);
  const auto edge = [poller] {
    epoll_event event;
    return kevent::sys::EpollTake(poller, &event, 1) == 1;
  };
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
    EXPECT_TRUE(edge());
    Sim().vain_takes = round % 2;
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(Sim().vain_takes, 0);
    EXPECT_FALSE(readable());
  }
  kevent::sys::Close(poller);
  EXPECT_EQ(Delete(timer), 0);
}

// As a handler may, or a debugger.
TEST_F(Timers, ADumpInTheMidstOfACollectionWaitsForNothing) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  EXPECT_EQ(kevent::core::DumpQueue(queue_, 2), 0);
  EXPECT_THAT(Sim().written, testing::HasSubstr("1 timers"));
  Sim().written.clear();
  Sim().before_call = [&](const std::string& function) {
    if (function != "EpollTake") return;
    Sim().before_call = nullptr;
    EXPECT_EQ(kevent::core::DumpQueue(queue_, 2), 0);
  };
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_THAT(Sim().written, testing::HasSubstr("the lock is held"));
  EXPECT_THAT(Sim().written, testing::Not(testing::HasSubstr("timers")));
  EXPECT_EQ(Delete(timer), 0);
}

// Until it has seen that, the queue is readable in vain: once, though whoever polls
// may keep that thread from going on.
TEST_F(Timers, ASlowerThreadsAnnouncementIsInVainOnce) {
  const Handle slow = Create(queue_, CLOCK_MONOTONIC);
  const Handle next = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(slow, TIMER_ABSTIME, 1), 0);
  ASSERT_EQ(Collect(queue_).size(), 1);

  std::vector<std::string> stages;
  Sim().before_call = [&](const std::string& function) {
    if (function == "EpollModify" && stages.empty()) {
      EXPECT_EQ(Collect(queue_).size(), 1);
      stages.push_back(function);
    } else if (function == "EpollDelete" && stages.size() == 1) {
      stages.push_back(function);
      EXPECT_TRUE(readable());
      EXPECT_TRUE(Collect(queue_).empty());
      EXPECT_FALSE(readable());
      EXPECT_EQ(Set(next, TIMER_ABSTIME, 1), 0);
      EXPECT_TRUE(readable());
    }
  };
  ASSERT_EQ(Set(slow, TIMER_ABSTIME, 1), 0);
  Sim().before_call = nullptr;
  EXPECT_EQ(stages.size(), 2);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(slow), 0);
  EXPECT_EQ(Delete(next), 0);
}

TEST_F(Timers, EqualDeadlinesInTheOrderOfArming) {
  std::vector<Handle> timers;
  timers.reserve(6);
  for (int i = 0; i < 6; ++i) timers.push_back(Create(queue_, CLOCK_MONOTONIC));
  const uint64_t moment = Sim().Now(CLOCK_MONOTONIC) + kSecond;
  for (const int i : {3, 1, 4, 0, 5, 2}) ASSERT_EQ(Set(timers[i], TIMER_ABSTIME, moment), 0);
  Collect(queue_);  // into the index
  // Away and back again, and set to the same once more: last in both cases.
  ASSERT_EQ(Set(timers[3], TIMER_ABSTIME, moment + 1), 0);
  ASSERT_EQ(Set(timers[3], TIMER_ABSTIME, moment), 0);
  ASSERT_EQ(Set(timers[1], TIMER_ABSTIME, moment), 0);
  Sim().Advance(kSecond);
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 6);
  const int expected[] = {4, 0, 5, 2, 3, 1};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(events[i].id.raw_u64, timers[expected[i]].bits()) << i;
  for (const Handle timer : timers) EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, ToALaterDeadlineWithoutASystemCall) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  const std::map<std::string, int> before = Sim().calls;
  for (uint64_t i = 1; i < 1000; ++i) ASSERT_EQ(SetIn(timer, kSecond + i), 0);
  EXPECT_EQ(Sim().calls, before);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Timers, ADeletedHandleIsInvalidForEver) {
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Delete(first), 0);
  bool reused = false;
  for (int i = 0; i < 1000 && !reused; ++i) {
    const Handle next = Create(queue_, CLOCK_MONOTONIC);
    reused = next.slot() == first.slot();
    EXPECT_NE(next.bits(), first.bits());
    EXPECT_EQ(SetIn(first, 1), EINVAL);
    EXPECT_EQ(Delete(first), EINVAL);
    itimerspec now;
    int overruns;
    EXPECT_EQ(kevent::core::GetTimer(first, &now), EINVAL);
    EXPECT_EQ(kevent::core::GetOverrun(first, &overruns), EINVAL);
    EXPECT_EQ(Delete(next), 0);
  }
  EXPECT_TRUE(reused) << "the test did not reach its case";
}

TEST_F(Timers, SlotsAreReusedFirstInFirstOut) {
  std::vector<uint32_t> freed;
  for (int i = 0; i < 200; ++i) {
    const Handle timer = Create(queue_, CLOCK_MONOTONIC);
    freed.push_back(timer.slot());
    ASSERT_EQ(Delete(timer), 0);
  }
  // No slot comes back while fewer than 64 others were freed after it.
  for (size_t i = 0; i < freed.size(); ++i) {
    for (size_t j = i + 1; j < freed.size() && j < i + 64; ++j) ASSERT_NE(freed[i], freed[j]);
  }
}

// With many timers a queue has slots ready.  A collector that holds the queue's lock makes a system
// call while timers are made.
TEST_F(Timers, ManyAreMadeWithoutTheQueuesLock) {
  constexpr int kMany = 600;
  const int queue = kevent::core::InitQueue(nullptr, 0, 0);
  const uint32_t number = Registry::Get(queue).queue();
  std::vector<Handle> timers;
  timers.reserve(kMany);
  for (int i = 0; i < kMany; ++i) timers.push_back(Create(queue, CLOCK_MONOTONIC));
  ASSERT_EQ(SetIn(timers[0], kMillisecond), 0);
  ASSERT_EQ(SetIn(timers[1], kSecond), 0);
  Sim().Advance(kMillisecond);
  bool made = false;
  Sim().before_call = [&](const std::string& call) {
    if (call != "ArmTimerfd" || std::exchange(made, true)) return;
    for (int i = 0; i < 4; ++i) timers.push_back(Create(queue, CLOCK_MONOTONIC, 7));
    ASSERT_EQ(SetIn(timers.back(), kMillisecond), 0);
  };
  EXPECT_EQ(Collect(queue).size(), 1);
  Sim().before_call = nullptr;
  EXPECT_TRUE(made);
  CheckQueues();
  Sim().Advance(kMillisecond);
  const std::vector<ukevent> events = Collect(queue);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(7));

  // The slots that are left go with the queue, so that another one can take its place.
  for (const Handle timer : timers) EXPECT_EQ(Delete(timer), 0);
  kevent::core::CloseDescriptor(queue);
  const int next = kevent::core::InitQueue(nullptr, 0, 0);
  EXPECT_EQ(Registry::Get(next).queue(), number);
  const Handle timer = Create(next, CLOCK_MONOTONIC);
  EXPECT_EQ(Delete(timer), 0);
  kevent::core::CloseDescriptor(next);
}

TEST_F(Timers, ASlotWithoutGenerationsIsRetired) {
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  SlotTable::At(first.slot()).life.set_generation(kLastGeneration);
  const Handle last(first.slot(), kLastGeneration);
  ASSERT_EQ(SetIn(last, kSecond), 0);
  ASSERT_EQ(Delete(last), 0);
  Collect(queue_);
  for (int i = 0; i < 1000; ++i) {
    const Handle next = Create(queue_, CLOCK_MONOTONIC);
    ASSERT_NE(next.slot(), last.slot());
    ASSERT_EQ(Delete(next), 0);
  }
}

TEST_F(Timers, BadInput) {
  int error;
  Create(-1, CLOCK_MONOTONIC, 0, &error);
  EXPECT_EQ(error, EBADF);
  Create(99, CLOCK_MONOTONIC, 0, &error);
  EXPECT_EQ(error, EBADF);
  const int stranger = Sim().OpenStranger();
  Create(stranger, CLOCK_MONOTONIC, 0, &error);
  EXPECT_EQ(error, EINVAL);
  kevent::sys::Close(stranger);
  for (const clockid_t clock : {4, 5, 6}) {
    Create(queue_, clock, 0, &error);
    EXPECT_EQ(error, EOPNOTSUPP);
  }
  for (const clockid_t clock : {10, 12, 99}) {
    Create(queue_, clock, 0, &error);
    EXPECT_EQ(error, EINVAL);
  }
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  const itimerspec bad[] = {{{0, 0}, {0, 1'000'000'000}},
                            {{0, 0}, {0, -1}},
                            {{0, 0}, {-1, 0}},
                            {{0, 1'000'000'000}, {1, 0}},
                            {{-1, 0}, {0, 0}}};
  for (const itimerspec& setting : bad) {
    EXPECT_EQ(kevent::core::SetTimer(timer, 0, &setting, nullptr), EINVAL);
  }
  EXPECT_EQ(kevent::core::SetTimer(timer, 0, nullptr, nullptr), EINVAL);
  EXPECT_EQ(kevent::core::GetTimer(timer, nullptr), EFAULT);
  EXPECT_EQ(Get(timer).value, kSecond);
  EXPECT_EQ(Delete(timer), 0);
}

}  // namespace
}  // namespace kevent_test
