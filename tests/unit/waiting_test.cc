// SPDX-License-Identifier: MIT
//
// kevent_get_events on simulated time: one thread, whose sleeping moves the
// clocks.

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>

#include "core/system/system.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {
namespace {

class Waiting : public EngineTest {
 protected:
  Waiting() {
    for (uint64_t i = 1; i <= 10; ++i) {
      timers_.push_back(Create(queue_, CLOCK_MONOTONIC, i));
      EXPECT_EQ(SetIn(timers_.back(), i * 10 * kMillisecond), 0);
    }
    start_ = Sim().Now(CLOCK_MONOTONIC);
  }
  ~Waiting() override {
    for (const Handle timer : timers_) EXPECT_EQ(Delete(timer), 0);
  }

  uint64_t elapsed() const { return Sim().Now(CLOCK_MONOTONIC) - start_; }

  std::vector<Handle> timers_;
  uint64_t start_;
};

TEST_F(Waiting, SleepsUntilEnoughAreReady) {
  EXPECT_EQ(Collect(queue_, 3, 8).size(), 3);
  EXPECT_EQ(elapsed(), 30 * kMillisecond);
}

TEST_F(Waiting, FewerAtTheTimeout) {
  const timespec timeout = ToTimespec(25 * kMillisecond);
  EXPECT_EQ(Collect(queue_, 3, 8, &timeout).size(), 2);
  EXPECT_EQ(elapsed(), 25 * kMillisecond);
}

// A handler forks in a call that has its place among the sleepers and has yet to sleep, and
// returns in the child, where the queue is another one.
TEST_F(EngineTest, ACallThatGoesOnInAChild) {
  for (const bool nonblocking : {false, true}) {
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    bool forked = false;
    Sim().before_call = [&](const std::string& call) {
      if (call != "StatusFlags" || std::exchange(forked, true)) return;
      Sim().Fork(true);
      if (nonblocking) Sim().File(queue)->status_flags |= O_NONBLOCK;
    };
    const uint64_t begin = Sim().Now(CLOCK_MONOTONIC);
    const timespec timeout = {1, 0};
    int result;
    EXPECT_TRUE(Collect(queue, 1, 8, &timeout, &result).empty());
    Sim().before_call = nullptr;
    Sim().File(queue)->status_flags &= ~O_NONBLOCK;
    EXPECT_TRUE(forked);
    EXPECT_EQ(result, -EINTR);
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), begin);
    CheckQueues();
    const Handle timer = Create(queue, CLOCK_MONOTONIC);
    EXPECT_EQ(SetIn(timer, kMillisecond), 0);
    EXPECT_EQ(Collect(queue, 1, 8).size(), 1);
    EXPECT_EQ(Delete(timer), 0);
    kevent::core::CloseDescriptor(queue);
  }
}

TEST_F(Waiting, AtMostMax) {
  Sim().Advance(kSecond);
  EXPECT_EQ(Collect(queue_, 3, 8).size(), 8);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_, 1, 8).size(), 2);
  EXPECT_FALSE(readable());
}

TEST_F(Waiting, NothingAtTheTimeout) {
  const timespec timeout = ToTimespec(5 * kMillisecond);
  int result;
  EXPECT_TRUE(Collect(queue_, 1, 8, &timeout, &result).empty());
  EXPECT_EQ(result, 0);
  EXPECT_EQ(elapsed(), 5 * kMillisecond);
}

TEST_F(Waiting, NeverSleepsWithoutLeave) {
  const timespec at_once = {0, 0};
  EXPECT_TRUE(Collect(queue_, 0, 8).empty());
  EXPECT_TRUE(Collect(queue_, 1, 8, &at_once).empty());
  kevent::sys::SetStatusFlags(queue_, O_NONBLOCK);
  EXPECT_TRUE(Collect(queue_, 1, 8).empty());
  Sim().Advance(10 * kMillisecond);
  EXPECT_EQ(Collect(queue_, 5, 8).size(), 1);
  EXPECT_EQ(elapsed(), 10 * kMillisecond);
}

// What is due is left for others while a thread waits for more.
TEST_F(Waiting, ClaimsNothingWhileItSleeps) {
  bool seen = false;
  int polls = 0;
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll" || ++polls != 2) return;
    // Asleep with one due.
    seen = true;
    EXPECT_TRUE(readable());
    EXPECT_EQ(Overrun(timers_[0]), 0);
    EXPECT_EQ(SetIn(timers_[0], kSecond), 0);  // can still be taken back
  };
  EXPECT_EQ(Collect(queue_, 2, 8).size(), 2);
  EXPECT_TRUE(seen);
  EXPECT_EQ(elapsed(), 30 * kMillisecond);
}

// An armer of something due comes while the leader holds.
TEST_F(Waiting, AHoldingLeaderIsWokenByWhatIsDueAlready) {
  int polls = 0;
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll" || ++polls != 2) return;
    EXPECT_EQ(Set(timers_[9], TIMER_ABSTIME, 1), 0);
  };
  EXPECT_EQ(Collect(queue_, 2, 8).size(), 2);
  EXPECT_EQ(elapsed(), 10 * kMillisecond);
}

// Its entry in the index comes up before the moment it was put off to, under
// one that is due.
TEST_F(Waiting, CountsATimerThatWasPutOff) {
  Collect(queue_);
  ASSERT_EQ(SetIn(timers_[1], 25 * kMillisecond), 0);
  EXPECT_EQ(Collect(queue_, 2, 2).size(), 2);
  EXPECT_EQ(elapsed(), 25 * kMillisecond);
}

// A clock that the queue did not have when the leader began to hold.
TEST_F(Waiting, AHoldingLeaderHearsOfANewClock) {
  int polls = 0;
  Handle late(0);
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll" || ++polls != 2) return;
    late = Create(queue_, CLOCK_BOOTTIME);
    EXPECT_EQ(SetIn(late, kMillisecond), 0);
  };
  EXPECT_EQ(Collect(queue_, 2, 2).size(), 2);
  EXPECT_EQ(elapsed(), 11 * kMillisecond);
  EXPECT_EQ(Delete(late), 0);
}

// Closed at each system call on the way to holding.
TEST_F(Waiting, CloseOnTheWayToHolding) {
  for (int n = 1;; ++n) {
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    const Handle due = Create(queue, CLOCK_MONOTONIC);
    const Handle later = Create(queue, CLOCK_MONOTONIC);
    ASSERT_EQ(Set(due, TIMER_ABSTIME, 1), 0);
    ASSERT_EQ(SetIn(later, 50 * kSecond), 0);
    int calls = 0;
    uint64_t closed_at = 0;
    Sim().before_call = [&](const std::string&) {
      if (closed_at != 0 || ++calls != n) return;
      closed_at = Sim().Now(CLOCK_MONOTONIC);
      EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
    };
    const timespec timeout = ToTimespec(40 * kSecond);
    int result;
    Collect(queue, 2, 8, &timeout, &result);
    Sim().before_call = nullptr;
    EXPECT_EQ(Delete(due), 0);
    EXPECT_EQ(Delete(later), 0);
    if (closed_at == 0) {
      EXPECT_EQ(result, 1);
      kevent::core::CloseDescriptor(queue);
      break;
    }
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), closed_at) << "closed at call " << n;
  }
}

TEST_F(Waiting, AHoldingLeaderDoesNotSpinWhenAClockIsSet) {
  const Handle tai = Create(queue_, CLOCK_TAI);
  ASSERT_EQ(Set(tai, TIMER_ABSTIME, Sim().Now(CLOCK_TAI) + 3600 * kSecond), 0);
  int polls = 0;
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && ++polls == 2) Sim().SetRealtime(5);
  };
  EXPECT_EQ(Collect(queue_, 2, 2).size(), 2);
  EXPECT_LT(polls, 10);
  EXPECT_EQ(Delete(tai), 0);
}

// With a full ring and nothing due it is woken by nothing, itself least of all.
TEST_F(Waiting, WhoWaitsForRoomInTheRingDoesNotSpin) {
  constexpr unsigned kSize = 2;
  alignas(kevent_ring) char memory[sizeof(kevent_ring) + kSize * sizeof(ukevent)];
  const int queue = kevent::core::InitQueue(reinterpret_cast<kevent_ring*>(memory), kSize, 0);
  ASSERT_GE(queue, 0);
  const auto make_ready = [queue](uint64_t id) {
    ukevent user = Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT);
    EXPECT_EQ(kevent::core::ControlKevents(queue, KEVENT_CTL_READY, 1, &user), 1);
  };
  for (uint64_t id = 0; id < kSize; ++id) {
    ASSERT_EQ(Add(queue, Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT)), 0);
    make_ready(id);
  }
  const auto wait = [queue] {
    const timespec patience = {1, 0};
    return kevent::core::WaitForRing(queue, kSize, 0, &patience, 0);
  };
  ASSERT_EQ(wait(), kSize);
  int polls = 0;
  bool readable = false;
  bool makes_ready = false;
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll") return;
    readable = readable || Sim().Readable(queue);
    if (++polls == 1 && makes_ready) make_ready(0);
    if (polls == 10) kevent::core::CommitRing(queue, 0, 0);  // ends it
  };
  EXPECT_EQ(wait(), 0);
  EXPECT_LT(polls, 10);
  EXPECT_FALSE(readable);

  polls = 0;
  makes_ready = true;
  EXPECT_EQ(wait(), 0);
  EXPECT_LT(polls, 10);
  EXPECT_TRUE(readable);
  Sim().before_call = nullptr;
  EXPECT_TRUE(Sim().Readable(queue));
  EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
}

TEST_F(Waiting, AbsoluteTimeouts) {
  int result;
  const timespec monotonic = ToTimespec(start_ + 4 * kMillisecond);
  EXPECT_TRUE(
      Collect(queue_, 1, 8, &monotonic, &result, KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC)
          .empty());
  EXPECT_EQ(elapsed(), 4 * kMillisecond);
  const timespec realtime = ToTimespec(Sim().Now(CLOCK_REALTIME) + 2 * kMillisecond);
  EXPECT_TRUE(Collect(queue_, 1, 8, &realtime, &result, KEVENT_FLAGS_ABSTIME).empty());
  EXPECT_EQ(elapsed(), 6 * kMillisecond);
}

TEST_F(Waiting, ATimeoutOnRealtimeFollowsTheClock) {
  const size_t open = Sim().open_descriptors();
  bool stepped = false;
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && !stepped) {
      stepped = true;
      Sim().SetRealtime(3600 * static_cast<int64_t>(kSecond));
    }
  };
  int result;
  const timespec timeout = ToTimespec(Sim().Now(CLOCK_REALTIME) + 3600 * kSecond);
  EXPECT_TRUE(Collect(queue_, 1, 8, &timeout, &result, KEVENT_FLAGS_ABSTIME).empty());
  EXPECT_EQ(result, 0);
  EXPECT_EQ(elapsed(), 0);
  EXPECT_EQ(Sim().open_descriptors(), open);
}

TEST_F(Waiting, BadInput) {
  int result;
  Collect(queue_, 9, 8, nullptr, &result);
  EXPECT_EQ(result, -EINVAL);
  for (const unsigned flags : {unsigned{KEVENT_FLAGS_MONOTONIC}, 4u, 0x80000000u}) {
    Collect(queue_, 1, 8, nullptr, &result, flags);
    EXPECT_EQ(result, -EINVAL);
  }
  for (const timespec bad : {timespec{-1, 0}, timespec{0, -1}, timespec{0, 1'000'000'000}}) {
    Collect(queue_, 1, 8, &bad, &result);
    EXPECT_EQ(result, -EINVAL);
    Collect(queue_, 0, 8, &bad, &result);
    EXPECT_EQ(result, -EINVAL);
  }
  EXPECT_EQ(kevent::core::GetEvents(queue_, {0, 8, nullptr, nullptr, 0, nullptr}), -EFAULT);
  EXPECT_EQ(kevent::core::GetEvents(queue_, {0, 0, nullptr, nullptr, 0, nullptr}), 0);
  Collect(-1, 0, 8, nullptr, &result);
  EXPECT_EQ(result, -EBADF);
  const int stranger = Sim().OpenStranger();
  Collect(stranger, 0, 8, nullptr, &result);
  EXPECT_EQ(result, -EINVAL);
  kevent::sys::Close(stranger);
}

// Closed while it sleeps, by a thread that comes between.
TEST_F(Waiting, CloseEndsASleep) {
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && Sim().IsOpen(queue_)) {
      EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    }
  };
  int result;
  Collect(queue_, 1, 8, nullptr, &result);
  EXPECT_EQ(result, -EBADF);
  EXPECT_EQ(elapsed(), 0);
}

class Alarms : public EngineTest {};

// The thread of an alarm tells the kernel what it has found in the register, a moment
// ago: after the close has rung for the leader, that silences it.
TEST_F(Alarms, AnAlarmDuringACloseLetsNoLeaderSleepOn) {
  const Handle due = Create(queue_, CLOCK_MONOTONIC);
  const Handle cpu = Create(queue_, CLOCK_PROCESS_CPUTIME_ID);
  ASSERT_EQ(SetIn(due, 1), 0);
  ASSERT_EQ(SetIn(cpu, kSecond), 0);
  Sim().Advance(1);
  int armings = 0;  // by the alarm's thread
  const auto in_alarm = [&](const std::string& function) {
    if (function != "ArmTimerfd") return;
    const auto hook = std::exchange(Sim().before_call, nullptr);
    if (++armings == 1) {
      EXPECT_EQ(Collect(queue_).size(), 2);
    } else if (armings == 2) {
      EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    }
    Sim().before_call = hook;
  };
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll" || armings != 0) return;
    Sim().before_call = in_alarm;
    Sim().Advance(2 * kSecond);
    Sim().before_call = nullptr;
  };
  int result;
  Collect(queue_, 3, 8, nullptr, &result);  // holds, with one that is due
  EXPECT_EQ(result, -EBADF);
  EXPECT_GE(armings, 2);
  EXPECT_EQ(Delete(due), 0);
  EXPECT_EQ(Delete(cpu), 0);
}

}  // namespace
}  // namespace kevent_test
