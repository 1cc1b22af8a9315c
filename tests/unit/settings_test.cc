// SPDX-License-Identifier: MIT
//
// kevent_settime, row by row, on simulated time.

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

// The timers of the C library, as they were set.
std::vector<timer_t> g_elsewhere;
int SetElsewhere(timer_t timer, int, const itimerspec&) {
  g_elsewhere.push_back(timer);
  return EPERM;
}

kevent_setting Entry(Handle timer, int flags, uint64_t value, uint64_t interval = 0) {
  kevent_setting setting = {};
  setting.timer = reinterpret_cast<timer_t>(timer.bits());
  setting.flags = flags;
  setting.error = -1;
  setting.value = {ToTimespec(interval), ToTimespec(value)};
  return setting;
}

int SetMany(std::vector<kevent_setting>& settings) {
  return kevent::core::SetTimers(static_cast<unsigned>(settings.size()), settings.data(),
                                 SetElsewhere);
}

template <typename MakeEntry>
std::vector<kevent_setting> Entries(size_t num, MakeEntry make_entry) {
  std::vector<kevent_setting> entries(num);
  std::generate(entries.begin(), entries.end(), make_entry);
  return entries;
}

class Settings : public EngineTest {
 protected:
  Settings() { g_elsewhere.clear(); }
  ~Settings() override {
    for (const Handle timer : timers_) Delete(timer);
  }

  Handle Make(clockid_t clock = CLOCK_MONOTONIC) { return MakeIn(queue_, clock); }
  Handle MakeIn(int queue, clockid_t clock) {
    timers_.push_back(Create(queue, clock, timers_.size()));
    return timers_.back();
  }

 private:
  std::vector<Handle> timers_;
};

TEST_F(Settings, EachIsSet) {
  std::vector<kevent_setting> settings;
  for (uint64_t i = 1; i <= 100; ++i) settings.push_back(Entry(Make(), 0, i * kMillisecond));
  EXPECT_EQ(SetMany(settings), 100);
  for (const kevent_setting& setting : settings) EXPECT_EQ(setting.error, 0);
  for (size_t i = 0; i < 100; ++i) {
    Sim().Advance(kMillisecond);
    ASSERT_TRUE(readable()) << i;
    const std::vector<ukevent> events = Collect(queue_);
    ASSERT_EQ(events.size(), 1) << i;
    EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(i));
    EXPECT_EQ(events[0].ret_data[1], 0);
  }
}

TEST_F(Settings, AClockIsReadOnce) {
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_BOOTTIME}) {
    auto settings = Entries(40, [&] { return Entry(Make(clock), 0, kMillisecond); });
    const uint64_t begin = Sim().Now(clock);
    Sim().reading_takes = 1;
    ASSERT_EQ(SetMany(settings), 40);
    Sim().reading_takes = 0;
    const uint64_t first = Get(HandleOf(settings[0].timer)).value;
    EXPECT_GE(Sim().Now(clock) + first, begin + kMillisecond);
    for (const kevent_setting& setting : settings) {
      EXPECT_EQ(Get(HandleOf(setting.timer)).value, first);
    }
  }
}

TEST_F(Settings, AQueueIsToldOnce) {
  const Handle before = Make();
  ASSERT_EQ(SetIn(before, kSecond), 0);
  std::vector<kevent_setting> settings;
  for (uint64_t i = 100; i > 0; --i) settings.push_back(Entry(Make(), 0, i * kMillisecond));
  Sim().calls.clear();
  ASSERT_EQ(SetMany(settings), 100);
  EXPECT_EQ(CallCount("ArmTimerfd"), 1);
  Sim().Advance(kMillisecond - 1);
  EXPECT_FALSE(readable());
  Sim().Advance(1);
  EXPECT_TRUE(readable());
}

// A collector that is about to tell the kernel of a deadline tells it for armers of later ones.
TEST_F(Settings, TheCollectorsCallIsNotMadeTwice) {
  const Handle earliest = Make();
  const Handle next = Make();
  const Handle later = Make();
  ASSERT_EQ(SetIn(earliest, kMillisecond), 0);
  ASSERT_EQ(SetIn(next, 2 * kMillisecond), 0);
  Sim().Advance(kMillisecond);
  int set = 0;
  Sim().before_call = [&](const std::string& call) {
    if (call == "ArmTimerfd" && set++ == 0) {
      EXPECT_EQ(SetIn(later, 3 * kMillisecond), 0);
    }
  };
  Sim().calls.clear();
  EXPECT_EQ(Collect(queue_).size(), 1);
  Sim().before_call = nullptr;
  EXPECT_EQ(set, 1);
  EXPECT_EQ(CallCount("ArmTimerfd"), 1);
  for (int i = 0; i < 2; ++i) {
    Sim().Advance(2 * kMillisecond);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
  }
}

TEST_F(Settings, QueuesAndClocksAreToldEach) {
  const int other = kevent::core::InitQueue(nullptr, 0, 0);
  std::vector<kevent_setting> settings;
  for (int i = 0; i < 20; ++i) {
    settings.push_back(Entry(Make(), 0, kMillisecond));
    settings.push_back(Entry(MakeIn(other, CLOCK_MONOTONIC), 0, 2 * kMillisecond));
    settings.push_back(Entry(Make(CLOCK_BOOTTIME), 0, 3 * kMillisecond));
  }
  Sim().calls.clear();
  ASSERT_EQ(SetMany(settings), 60);
  EXPECT_EQ(CallCount("ArmTimerfd"), 3);
  Sim().Advance(kMillisecond);
  EXPECT_EQ(Collect(queue_).size(), 20);
  EXPECT_FALSE(Sim().Readable(other));
  Sim().Advance(kMillisecond);
  EXPECT_EQ(Collect(other).size(), 20);
  Sim().Advance(kMillisecond);
  EXPECT_EQ(Collect(queue_).size(), 20);
  kevent::core::CloseDescriptor(other);
}

// More clocks than are told together.
TEST_F(Settings, ManyQueues) {
  std::vector<int> queues;
  std::vector<kevent_setting> settings;
  for (int i = 0; i < 40; ++i) {
    queues.push_back(kevent::core::InitQueue(nullptr, 0, 0));
    settings.push_back(Entry(MakeIn(queues.back(), CLOCK_MONOTONIC), 0, kMillisecond));
  }
  ASSERT_EQ(SetMany(settings), 40);
  Sim().Advance(kMillisecond);
  for (const int queue : queues) {
    EXPECT_TRUE(Sim().Readable(queue));
    EXPECT_EQ(Collect(queue).size(), 1);
    kevent::core::CloseDescriptor(queue);
  }
}

TEST_F(Settings, TheLaterOneOfATimerHolds) {
  const Handle timer = Make();
  const Handle other = Make();
  std::vector<kevent_setting> settings = {Entry(timer, 0, kMillisecond, kMillisecond),
                                          Entry(other, 0, kMillisecond), Entry(timer, 0, 0),
                                          Entry(timer, 0, 5 * kMillisecond), Entry(other, 0, 0)};
  ASSERT_EQ(SetMany(settings), 5);
  Sim().Advance(2 * kMillisecond);
  EXPECT_TRUE(Collect(queue_).empty());
  Sim().Advance(3 * kMillisecond);
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Get(timer).interval, 0);
}

TEST_F(Settings, EqualDeadlinesComeInTheOrderOfTheArray) {
  auto settings = Entries(50, [&] { return Entry(Make(), 0, kMillisecond); });
  std::reverse(settings.begin(), settings.end());
  ASSERT_EQ(SetMany(settings), 50);
  Sim().Advance(kMillisecond);
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 50);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(events[i].ptr, reinterpret_cast<void*>(49 - i));
  }
}

TEST_F(Settings, AnOverrunIsForgotten) {
  const Handle timer = Make();
  ASSERT_EQ(SetIn(timer, 10, 10), 0);
  Sim().Advance(95);
  ASSERT_EQ(Collect(queue_).size(), 1);
  ASSERT_EQ(Overrun(timer), 8);
  std::vector<kevent_setting> settings = {Entry(timer, 0, kSecond)};
  ASSERT_EQ(SetMany(settings), 1);
  EXPECT_EQ(Overrun(timer), 0);
}

TEST_F(Settings, AFailureIsOfItsEntry) {
  const Handle good = Make();
  const Handle gone = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Delete(gone), 0);
  kevent_setting nanoseconds = Entry(good, 0, 0);
  nanoseconds.value.it_value.tv_nsec = 1'000'000'000;
  kevent_setting interval = Entry(good, 0, kSecond);
  interval.value.it_interval.tv_sec = -1;
  std::vector<kevent_setting> settings = {Entry(gone, 0, kSecond), nanoseconds,
                                          Entry(good, 0, kMillisecond), interval};
  kevent_setting foreign = {};
  foreign.timer = reinterpret_cast<timer_t>(uintptr_t{7});
  settings.push_back(foreign);
  EXPECT_EQ(SetMany(settings), 1);
  const int errors[] = {EINVAL, EINVAL, 0, EINVAL, EPERM};
  for (size_t i = 0; i < settings.size(); ++i) EXPECT_EQ(settings[i].error, errors[i]) << i;
  EXPECT_EQ(g_elsewhere, std::vector<timer_t>{foreign.timer});
  EXPECT_EQ(Get(good).value, kMillisecond);
}

TEST_F(Settings, AThreadThatHasEnded) {
  constexpr clockid_t kThread = -10;
  auto settings = Entries(3, [&] { return Entry(Make(kThread), TIMER_ABSTIME, kSecond); });
  const Handle other = Make();
  settings.push_back(Entry(other, 0, kSecond));
  Sim().EndThread(kThread);
  EXPECT_EQ(SetMany(settings), 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(settings[static_cast<size_t>(i)].error, ESRCH);
  EXPECT_EQ(settings[3].error, 0);
}

// The id of a thread that has ended may be another one's: then its clock can be read again, and two
// timers of one clock differ.
TEST_F(Settings, AThreadThatHasTheIdOfOneThatHasEnded) {
  constexpr clockid_t kThread = -5679 * 8 + 6;
  const Handle of_ended = Make(kThread);
  ASSERT_EQ(SetIn(of_ended, kSecond), 0);
  Sim().EndThread(kThread);
  EXPECT_EQ(SetIn(of_ended, kSecond), ESRCH);
  Sim().BeginThread(kThread);
  const Handle of_new = Make(kThread);
  const int alone[] = {SetIn(of_ended, kSecond), SetIn(of_new, kSecond)};
  ASSERT_EQ(alone[0], ESRCH);
  ASSERT_EQ(alone[1], 0);
  for (const bool ended_first : {false, true}) {
    std::vector<kevent_setting> settings = {Entry(of_new, 0, kSecond), Entry(of_ended, 0, kSecond)};
    if (ended_first) std::swap(settings[0], settings[1]);
    EXPECT_EQ(SetMany(settings), 1);
    EXPECT_EQ(settings[ended_first ? 0 : 1].error, ESRCH);
    EXPECT_EQ(settings[ended_first ? 1 : 0].error, 0);
  }
}

// Clocks of CPU time beyond those that a call keeps are read again.
TEST_F(Settings, ManyClocksOfThreads) {
  std::vector<kevent_setting> settings;
  for (int turn = 0; turn < 2; ++turn) {
    for (int i = 0; i < 20; ++i) {
      const clockid_t clock = -(1000 + i) * 8 + 6;
      settings.push_back(Entry(Make(clock), 0, kSecond));
    }
  }
  EXPECT_EQ(SetMany(settings), 40);
  for (const kevent_setting& setting : settings) {
    EXPECT_EQ(setting.error, 0);
    EXPECT_EQ(Get(HandleOf(setting.timer)).value, kSecond);
  }
}

TEST_F(Settings, ADeletedTimerAmongOthersThatAreSetAlike) {
  auto settings = Entries(16, [&] { return Entry(Make(), 0, kMillisecond); });
  ASSERT_EQ(Delete(HandleOf(settings[7].timer)), 0);
  const Handle gone = HandleOf(settings[7].timer);
  EXPECT_EQ(SetMany(settings), 15);
  EXPECT_EQ(settings[7].error, EINVAL);
  EXPECT_EQ(Set(gone, 0, kMillisecond), EINVAL);
  Sim().Advance(kMillisecond);
  EXPECT_EQ(Collect(queue_).size(), 15);
}

// Arrays of settings that are alike, and of others among them, against timer_settime one by one.
class SettingsAtRandom : public Settings {
 protected:
  static constexpr size_t kTimers = 40;

  ~SettingsAtRandom() override {
    for (const Side& side : sides_) kevent::core::CloseDescriptor(side.queue);
  }

  void MakeTimers() {
    for (Side& side : sides_) {
      side.queue = kevent::core::InitQueue(nullptr, 0, 0);
      for (size_t i = 0; i < kTimers; ++i) {
        side.timers.push_back(MakeIn(side.queue, i < 30 ? CLOCK_MONOTONIC : CLOCK_BOOTTIME));
      }
    }
  }

  // Mostly one-shot settings of timers on the monotonic clock.
  void SetOnBothSides() {
    std::vector<kevent_setting> settings;
    std::vector<int> errors;
    const unsigned rare = Below(3) == 0 ? 1 + Below(20) : 1000;
    for (size_t num = Below(70); settings.size() < num;) {
      const size_t timer = Below(Below(rare) == 0 ? kTimers : 30);
      kevent_setting setting = Entry(sides_[0].timers[timer], Below(2) == 0 ? TIMER_ABSTIME : 0,
                                     Below(5) == 0 ? 0 : Below(100) * kMillisecond,
                                     Below(rare) == 0 ? kMillisecond + Below(9) : 0);
      if (Below(rare) == 0) setting.value.it_value.tv_sec = int64_t{1} << Below(63);
      if (Below(rare) == 0) setting.value.it_value.tv_nsec = 1'000'000'000;
      if (Below(rare) == 0) setting.value.it_value.tv_sec = -1;
      if (Below(rare) == 0) setting.timer = nullptr;
      settings.push_back(setting);
      errors.push_back(setting.timer == nullptr
                           ? EPERM
                           : kevent::core::SetTimer(sides_[1].timers[timer], setting.flags,
                                                    &setting.value, nullptr));
    }
    EXPECT_EQ(SetMany(settings), std::count(errors.begin(), errors.end(), 0));
    for (size_t i = 0; i < settings.size(); ++i) EXPECT_EQ(settings[i].error, errors[i]) << i;
  }

  void CompareSides() {
    for (size_t i = 0; i < kTimers; ++i) {
      const Old batch = Get(sides_[0].timers[i]);
      const Old single = Get(sides_[1].timers[i]);
      EXPECT_EQ(batch.value, single.value) << i;
      EXPECT_EQ(batch.interval, single.interval) << i;
      EXPECT_EQ(Overrun(sides_[0].timers[i]), Overrun(sides_[1].timers[i])) << i;
    }
    EXPECT_EQ(Sim().Readable(sides_[0].queue), Sim().Readable(sides_[1].queue));
    const std::vector<ukevent> batch = Collect(sides_[0].queue);
    const std::vector<ukevent> single = Collect(sides_[1].queue);
    ASSERT_EQ(batch.size(), single.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(batch[i].ptr) + kTimers,
                reinterpret_cast<uintptr_t>(single[i].ptr));
      EXPECT_EQ(batch[i].ret_data[0], single[i].ret_data[0]);
      EXPECT_EQ(batch[i].ret_data[1], single[i].ret_data[1]);
    }
  }

  unsigned Below(unsigned bound) {
    return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_);
  }

 private:
  struct Side {
    int queue = -1;
    std::vector<Handle> timers;
  };
  Side sides_[2];
  std::minstd_rand random_{16};
};

TEST_F(SettingsAtRandom, AreAsOneByOne) {
  MakeTimers();
  for (int round = 0; round < 2000 && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    SetOnBothSides();
    Sim().Advance(Below(10) * kMillisecond / (1 + Below(3)));
    CompareSides();
  }
}

TEST_F(Settings, NoneAndTooMany) {
  kevent_setting setting = Entry(Make(), 0, kSecond);
  EXPECT_EQ(kevent::core::SetTimers(0, nullptr, SetElsewhere), 0);
  EXPECT_EQ(kevent::core::SetTimers(0, &setting, SetElsewhere), 0);
  EXPECT_EQ(setting.error, -1);
  EXPECT_EQ(kevent::core::SetTimers(1, nullptr, SetElsewhere), -EFAULT);
  EXPECT_EQ(kevent::core::SetTimers(unsigned{INT_MAX} + 1, &setting, SetElsewhere), -EINVAL);
  EXPECT_EQ(setting.error, -1);
}

TEST_F(Settings, DueAlready) {
  auto settings = Entries(10, [&] { return Entry(Make(), TIMER_ABSTIME, 1); });
  ASSERT_EQ(SetMany(settings), 10);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 10);
  EXPECT_FALSE(readable());
}

TEST_F(Settings, TimersOfAClosedQueue) {
  const int closed = kevent::core::InitQueue(nullptr, 0, 0);
  std::vector<kevent_setting> settings = {Entry(MakeIn(closed, CLOCK_MONOTONIC), 0, kSecond),
                                          Entry(Make(), 0, kMillisecond)};
  kevent::core::CloseDescriptor(closed);
  EXPECT_EQ(SetMany(settings), 2);
  Sim().Advance(kMillisecond);
  EXPECT_EQ(Collect(queue_).size(), 1);
}

}  // namespace
}  // namespace kevent_test
