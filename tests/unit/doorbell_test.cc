// SPDX-License-Identifier: MIT
//
// Doorbell against an obvious model: whether the queue is announced, whether it is held, and the
// deadline that each timer is set to, the second one included.  The kernel is simulated, and in any
// of its calls another thread may come between: an armer, or, where an armer makes the call, a
// collector or a dup2.

#include "core/queue/doorbell.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <vector>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/process_state.h"
#include "core/kevents/epoll_members.h"
#include "core/system/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::AxisKind;
using kevent::core::ClockPlan;
using kevent::core::Doorbell;
using kevent::core::kMonotonicAxis;
using kevent::core::Lifetime;
using kevent::core::NextDeadlines;
using Members = Doorbell::Members;
namespace sys = kevent::sys;

constexpr uint32_t kQueue = 9000;  // no queue of the engine's has this number
constexpr ClockPlan kPlans[] = {{CLOCK_MONOTONIC, AxisKind::kTimerfd, false},
                                {CLOCK_REALTIME, AxisKind::kSettable, true},
                                {CLOCK_BOOTTIME, AxisKind::kTimerfd, false}};

uint64_t Earlier(uint64_t a, uint64_t b) { return a == 0 || b == 0 ? a + b : std::min(a, b); }

struct Model {
  bool announced = false;
  bool timer_announces = false;
  bool held = false;
  std::vector<uint64_t> armed;  // of each timer; 0: not at all
  bool has_second = false;      // timer on the monotonic clock
  uint64_t second = 0;          // as armed
};

// A doorbell, and the queue's part that it needs.
class OpenDoorbell {
 public:
  OpenDoorbell() {
    bell->Init(kQueue, &lifetime, &monotonic_timerfd);
    Open();
  }
  ~OpenDoorbell() {
    if (lifetime.open()) {
      Close();
    } else if (lifetime.Unpin()) {
      bell->Close();
    }
  }
  OpenDoorbell(const OpenDoorbell&) = delete;
  OpenDoorbell& operator=(const OpenDoorbell&) = delete;

  void Open() {
    descriptors_before = Sim().open_descriptors();
    lifetime.BeginOpening();
    EXPECT_EQ(bell->Open(), 0);
    lifetime.FinishOpening();
  }
  void Close() {
    (void)lifetime.Close();
    bell->Ring();
    EXPECT_TRUE(Sim().Readable(bell->epoll()));
    // Armers that had it pinned do not silence it.
    bell->NotifyAt(kMonotonicAxis, Sim().Now(CLOCK_MONOTONIC) + kSecond);
    EXPECT_TRUE(Sim().Readable(bell->epoll()));
    bell->Withdraw(Members::kOwn);
    bell->Notify();
    EXPECT_TRUE(Sim().Readable(bell->epoll()));
    EXPECT_TRUE(lifetime.Unpin());
    bell->Close();
    lifetime.InternalsAreClosed();
    EXPECT_EQ(bell->Check(), nullptr) << bell->Check();
    EXPECT_EQ(Sim().open_descriptors(), descriptors_before);
  }

  Lifetime lifetime{};
  std::atomic<int> monotonic_timerfd{0};
  const std::unique_ptr<Doorbell> bell = std::make_unique<Doorbell>();
  size_t descriptors_before = 0;
};

class DoorbellLife {
 public:
  explicit DoorbellLife(uint64_t seed) : choices_(seed) { model_.armed.assign(1, 0); }
  ~DoorbellLife() { Sim().before_call = nullptr; }

  void Step() {
    const bool by_armer = Below(2) == 0;
    if (Below(2) == 0) {
      Sim().before_call = [this, by_armer, left = Below(12)](const std::string&) mutable {
        if (interrupting_ || left-- != 0) return;
        interrupting_ = true;
        by_armer&& Below(2) == 0 ? Collector() : Armer();
        interrupting_ = false;
      };
    }
    by_armer ? Armer() : Collector();
    Sim().before_call = nullptr;
    Sim().vain_takes = 0;
    for (const int fd : left_) kevent::core::ReleaseDescriptor(fd, kQueue, kevent::core::kRoleLeft);
    left_.clear();
    Compare();
    if (Below(8) == 0) Alone();
    if (Below(3) == 0) Sim().Advance(Below(kSecond));
  }

 private:
  uint64_t Below(uint64_t limit) { return choices_.Below(limit); }
  uint8_t SomeTimer() { return static_cast<uint8_t>(Below(model_.armed.size())); }
  uint64_t Now(uint8_t index) { return Sim().Now(bell_.timer(index).clock.load()); }
  uint64_t SomeDeadline(uint8_t index) { return Now(index) + Below(2 * kSecond) - kSecond; }

  // In the model a call has its effect when it begins: what comes between comes after it.
  void Announced() {
    if (model_.held) {
      model_.armed[kMonotonicAxis] = 1;
    } else {
      model_.announced = true;
    }
  }

  void Armer() {
    const uint8_t index = SomeTimer();
    const uint64_t deadline = SomeDeadline(index);
    switch (Below(4)) {
      case 0:
        Announced();
        return bell_.Notify();
      case 1:
        if (model_.held) model_.armed[kMonotonicAxis] = 1;
        return bell_.Recall();
      default:
        if (bell_.WillBeHeardBy(index, deadline)) return;
        if (deadline <= Now(index)) {
          Announced();
        } else {
          model_.armed[index] = Earlier(model_.armed[index], deadline);
        }
        bell_.NotifyAt(index, deadline);
    }
  }

  void Collector() {
    switch (Below(7)) {
      case 0:
        Sim().vain_takes = static_cast<int>(Below(2));
        Withdrawn();
        bell_.Withdraw(Below(2) == 0 ? Members::kOwn : Members::kOthers);
        return;
      case 1:
        return WithdrawByHarvest();
      case 2:
        return Harvested(Harvest());
      case 3:
        return Rearm();
      case 4:
        return Hold();
      case 5:
        return Move();
      default:
        return bell_.WithdrawInVain(Members::kOthers);
    }
  }

  void Withdrawn() {
    model_.announced = false;
    model_.timer_announces = false;
  }

  void WithdrawByHarvest() {
    bool taken = false;
    Withdrawn();
    const auto harvest = [this, &taken] { return taken = Harvest(); };
    if (!bell_.WithdrawBy(harvest)) Harvested(taken);
  }

  // What was taken stays announced.
  void Harvested(bool taken) {
    if (!taken) return;
    model_.announced = true;
    bell_.AnnounceToStay();
  }

  // True when it has taken the announcement along.
  bool Harvest() {
    epoll_event found[8];
    const int count = sys::EpollTake(bell_.epoll(), found, 8);
    return std::any_of(found, found + count, [](const epoll_event& event) {
      return event.data.u64 == kevent::core::kAnnouncedOnce;
    });
  }

  // The next deadlines; often what the second timer is set to.
  NextDeadlines SomeDeadlines(uint8_t index, uint64_t now) {
    if (Below(4) == 0) return {0, 0};
    uint64_t next = now + 1 + Below(kSecond);
    if (index == kMonotonicAxis && model_.second > now && Below(2) == 0) next = model_.second;
    if (!bell_.UsesSecondDeadline(index, next, now) || Below(8) == 0) return {next, 0};
    EXPECT_TRUE(index == kMonotonicAxis && model_.has_second && !model_.held);
    return {next, next + (Below(2) == 0 ? Below(60 * kMicrosecond) : Below(kSecond))};
  }

  void Rearm() {
    const uint8_t index = SomeTimer();
    const uint64_t now = Now(index);
    const NextDeadlines next = SomeDeadlines(index, now);
    const bool found_nothing = Below(2) == 0;
    uint64_t& armed = model_.armed[index];
    const uint64_t before = armed;
    const bool monotonic = index == kMonotonicAxis;
    const bool has_come = armed != 0 && armed <= now;
    const bool second_has_come = monotonic && model_.second != 0 && model_.second <= now;
    const bool apart = next.second >= next.first + 30 * kMicrosecond;
    const bool covered = monotonic && apart && model_.second == next.first;
    const uint64_t wanted = covered ? next.second : next.first;
    const bool spent = has_come || (second_has_come && found_nothing && armed != 0);
    armed = spent ? wanted : Earlier(armed, wanted);
    if (monotonic && model_.timer_announces) armed = 1;
    if (monotonic && model_.has_second && !covered && (has_come || second_has_come)) {
      const bool in_vain = next.first == 0 || model_.second < next.first;
      if (apart || in_vain) model_.second = apart ? next.second : 0;
    }
    const bool later = spent && wanted != before && (wanted == 0 || wanted > before);
    EXPECT_EQ(bell_.Rearm(index, next, now, found_nothing), later);
  }

  void Hold() {
    if (model_.held) {
      model_.held = false;
      return bell_.StopHolding();
    }
    model_.held = true;
    bell_.Hold();
    model_.timer_announces = false;
    EXPECT_TRUE(bell_.TimersAreFree());
  }

  // A dup2 takes one of the numbers.
  void Move() {
    const uint16_t roles[] = {kevent::core::kRoleEpoll, kevent::core::kRoleAlwaysReady,
                              kMonotonicAxis, kevent::core::kRoleSecondTimer};
    const uint16_t role = roles[Below(model_.has_second ? 4 : 3)];
    const int fd = role == kMonotonicAxis                   ? monotonic()
                   : role == kevent::core::kRoleSecondTimer ? bell_.second_timer().number()
                   : role == kevent::core::kRoleEpoll       ? bell_.epoll()
                                                            : bell_.always_ready();
    if (role == kevent::core::kRoleAlwaysReady) model_.timer_announces = false;
    EXPECT_EQ(bell_.Move(fd, role, [](int) { return 0; }), 0);
    left_.push_back(fd);
  }

  int monotonic() const { return bell_.timer(kMonotonicAxis).source.load() - 1; }

  // What nothing may come between.
  void Alone() {
    switch (Below(5)) {
      case 0:
        return Make();
      case 1:
        return Drop();
      case 2:
        return NotifyWithoutMemory();
      case 3:
        bell_.RequestExit();
        EXPECT_TRUE(bell_.TakeExitRequest());
        EXPECT_FALSE(bell_.TakeExitRequest());
        return;
      default:
        if (Below(4) != 0) return;
        open_.Close();
        model_ = {};
        model_.armed.assign(1, 0);
        open_.Open();
        Compare();
    }
  }

  void Make() {
    if (Below(4) == 0) return MakeSecond();
    uint8_t index;
    bool made;
    ASSERT_EQ(bell_.FindOrMakeTimer(kPlans[Below(std::size(kPlans))], &index, &made), 0);
    if (index == model_.armed.size()) model_.armed.push_back(0);
    if (made) model_.armed[index] = 0;
    Compare();
  }

  // For lack of a descriptor, of memory or of a place in the epoll it is made another time.
  void MakeSecond() {
    const size_t before = Sim().open_descriptors();
    const bool fails = !model_.has_second && Below(2) == 0;
    if (fails) Sim().FailCall(1 + static_cast<int>(Below(5)), EMFILE);
    bell_.MakeSecondTimer();
    const bool failed = fails && !Sim().failure_pending();
    Sim().FailCall(0, 0);
    const bool exists = bell_.second_timer().exists();
    ASSERT_TRUE(exists || failed);
    ASSERT_EQ(Sim().open_descriptors(), before + (exists && !model_.has_second ? 1 : 0));
    model_.has_second = exists;
    Compare();
  }

  // The last one: the next clock without a timer has its place.
  void Drop() {
    const auto index = static_cast<uint8_t>(model_.armed.size() - 1);
    if (index == kMonotonicAxis) return;
    bell_.DropTimer(index);
    ASSERT_EQ(bell_.Check(), nullptr) << bell_.Check();
    for (const ClockPlan& plan : kPlans) {
      uint8_t at;
      bool made;
      ASSERT_EQ(bell_.FindOrMakeTimer(plan, &at, &made), 0);
      if (!made) continue;
      ASSERT_EQ(at, index);
      model_.armed[index] = 0;
      return Compare();
    }
    FAIL() << "the place was not used again";
  }

  void NotifyWithoutMemory() {
    if (model_.held) return;
    Sim().FailCall(1, ENOMEM);
    model_.announced = true;
    bell_.Notify();
    if (!Sim().failure_pending()) {
      model_.timer_announces = true;
      model_.armed[kMonotonicAxis] = 1;
    }
    Sim().FailCall(0, 0);
    Compare();
  }

  void Compare() {
    ASSERT_EQ(bell_.Check(), nullptr) << bell_.Check();
    ASSERT_EQ(bell_.IsAnnounced(), model_.announced);
    ASSERT_EQ(bell_.held(), model_.held);
    ASSERT_EQ(bell_.WillBeHeard(), model_.announced && !model_.held);
    ASSERT_EQ(bell_.timer_count(), model_.armed.size());
    ASSERT_FALSE(bell_.numbers_are_used());
    bool readable = model_.announced;
    pollfd polled[8];
    ASSERT_EQ(bell_.TimersToPoll(polled), model_.armed.size());
    for (size_t timer = 0; timer < model_.armed.size(); ++timer) {
      const auto i = static_cast<uint8_t>(timer);
      const uint64_t armed = model_.armed[i];
      ASSERT_EQ(Sim().File(polled[i].fd)->moment, armed) << "timer " << int{i};
      if (armed != 0 && armed <= Now(i)) readable = true;
      ASSERT_EQ(bell_.timer(i).IsReadable(Now(i)), armed != 0 && armed <= Now(i));
    }
    ASSERT_EQ(bell_.second_timer().exists(), model_.has_second);
    ASSERT_EQ(bell_.second_timer().told(), model_.second);
    ASSERT_EQ(bell_.own_members(), model_.armed.size() + (model_.has_second ? 2 : 1));
    if (model_.has_second) {
      const uint64_t second = model_.second;
      ASSERT_EQ(Sim().File(bell_.second_timer().number())->moment, second);
      const bool has_come = second != 0 && second <= Now(kMonotonicAxis);
      ASSERT_EQ(bell_.second_timer().HasCome(Now(kMonotonicAxis)), has_come);
      readable = readable || has_come;
    }
    ASSERT_EQ(Sim().Readable(bell_.epoll()), readable);
    ASSERT_TRUE(Sim().violations.empty()) << Sim().violations.front();
  }

  RandomChoices choices_;
  OpenDoorbell open_;
  Doorbell& bell_ = *open_.bell;
  Model model_;
  bool interrupting_ = false;
  std::vector<int> left_;
};

TEST(Doorbell, IsWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    DoorbellLife life(seed);
    for (int i = 0; i < 500 && !testing::Test::HasFailure(); ++i) life.Step();
    if (testing::Test::HasFailure()) return;
  }
}

// An armer comes between the withdrawal and the timer that is set later, and the kernel has no
// memory for its announcement.
TEST(Doorbell, ATimerThatAnnouncesIsNotSetLater) {
  OpenDoorbell open;
  Doorbell& bell = *open.bell;
  Sim().FailCall(1, ENOMEM);
  bell.Notify();
  EXPECT_FALSE(Sim().failure_pending());
  EXPECT_TRUE(Sim().Readable(bell.epoll()));
  const uint64_t now = Sim().Now(CLOCK_MONOTONIC);
  bell.Rearm(kMonotonicAxis, {now + kSecond, 0}, now, false);
  EXPECT_TRUE(Sim().Readable(bell.epoll()));
  EXPECT_EQ(bell.Check(), nullptr) << bell.Check();
  bell.Withdraw(Members::kOwn);
  bell.Rearm(kMonotonicAxis, {now + kSecond, 0}, now, false);
  EXPECT_FALSE(Sim().Readable(bell.epoll()));
}

// A thread announces; the collector withdraws that before the kernel is told, and the queue is
// closed.  What the thread tells late must not leave the pipe off, which Ring() has switched on.
TEST(Doorbell, ARingIsNotSilenced) {
  OpenDoorbell open;
  Doorbell& bell = *open.bell;
  ASSERT_TRUE(open.lifetime.Pin());
  bool closed = false;
  Sim().before_call = [&](const std::string& call) {
    if (call != "EpollModify" || closed) return;
    closed = true;
    bell.Withdraw(Members::kOthers);
    (void)open.lifetime.Close();
    EXPECT_FALSE(open.lifetime.Unpin());
    bell.Ring();
  };
  bell.Notify();
  Sim().before_call = nullptr;
  EXPECT_TRUE(closed);
  bool on = false;
  for (const auto& [name, member] : Sim().File(bell.epoll())->members) {
    if (name.first == bell.always_ready()) on = (member.events & EPOLLIN) != 0;
  }
  EXPECT_TRUE(on);
  EXPECT_FALSE(bell.WillBeHeard());
}

// What a timer was before it was dropped is forgotten.
TEST(Doorbell, ATimerIsMadeAnew) {
  OpenDoorbell open;
  Doorbell& bell = *open.bell;
  uint8_t index;
  bool made;
  ASSERT_EQ(bell.FindOrMakeTimer(kPlans[1], &index, &made), 0);
  bell.NotifyAt(index, Sim().Now(CLOCK_REALTIME) + kSecond);
  bell.DropTimer(index);
  bell.timer(index).ended = true;
  ASSERT_EQ(bell.FindOrMakeTimer(kPlans[2], &index, &made), 0);
  EXPECT_TRUE(made);
  EXPECT_EQ(bell.Check(), nullptr) << bell.Check();
  EXPECT_EQ(bell.timer(index).armed.Load().value(), 0u);
}

// timer_settime may ask for the owner of a clock whose timer serves another clock by now: a number
// of a timerfd is not an alarm's.
TEST(Doorbell, OnlyAnAlarmIsAskedForItsOwner) {
  OpenDoorbell open;
  auto& timer = open.bell->timer(kMonotonicAxis);
  const int before = CallCount("ArmAlarm");
  EXPECT_TRUE(timer.OwnerLives());
  EXPECT_TRUE(timer.OwnerLivesAndPutOff());
  EXPECT_EQ(CallCount("ArmAlarm"), before);
}

// A thread without memory has the timer announce, while another one switches the pipe on, whose
// report a harvest takes.
TEST(Doorbell, AHarvestEndsAlsoWhatTheTimerAnnounces) {
  OpenDoorbell open;
  Doorbell& bell = *open.bell;
  Sim().FailCall(1, ENOMEM);
  bell.Notify();
  EXPECT_TRUE(bell.WithdrawBy([] { return true; }));
  EXPECT_EQ(bell.Check(), nullptr) << bell.Check();
  EXPECT_TRUE(bell.TimersAreFree());
}

// Check() is what Debug builds and the fuzzers rely on: it must see its invariants broken.
TEST(Doorbell, ABrokenInvariantIsSeen) {
  OpenDoorbell open;
  Doorbell& bell = *open.bell;
  EXPECT_EQ(bell.Check(), nullptr);
  auto& timer = bell.timer(kMonotonicAxis);

  timer.ended = true;
  EXPECT_STREQ(bell.Check(), "a clock has ended that is no thread's");
  timer.ended = false;
  const int source = timer.source.exchange(0);
  open.monotonic_timerfd = 0;
  EXPECT_STREQ(bell.Check(), "a timer has no kernel object");
  timer.source = source;
  EXPECT_STREQ(bell.Check(),
               "the number of its monotonic timer is not the one that outlives a fork");
  open.monotonic_timerfd = source;
  timer.clock = CLOCK_REALTIME;
  EXPECT_STREQ(bell.Check(), "it is open and has no monotonic timer");
  timer.clock = CLOCK_MONOTONIC;
  bell.timer(7).kind = AxisKind::kTimerfd;
  EXPECT_STREQ(bell.Check(), "a timer is in use that is not counted");
  bell.timer(7).kind = AxisKind::kUnused;

  bell.MakeSecondTimer();
  const uint64_t now = Sim().Now(CLOCK_MONOTONIC);
  bell.NotifyAt(kMonotonicAxis, now + 1);
  bell.Rearm(kMonotonicAxis, {now + 2, now + kSecond}, now + 1, false);
  EXPECT_NE(bell.second_timer().told(), 0u);
  EXPECT_EQ(bell.Check(), nullptr);
  timer.armed.Reset();
  EXPECT_STREQ(bell.Check(), "the second timer is set, and the first one is not");
  timer.armed.RaiseTo(kevent::core::Earliness(now + 2));

  Sim().FailCall(1, ENOMEM);
  bell.Announce();
  EXPECT_EQ(bell.Check(), nullptr);
  timer.armed.Reset();
  EXPECT_STREQ(bell.Check(), "the timer that announces is set to come later");
  timer.armed.RaiseTo(kevent::core::Earliness(1));
  EXPECT_EQ(bell.Check(), nullptr);
}

}  // namespace
}  // namespace kevent_test
