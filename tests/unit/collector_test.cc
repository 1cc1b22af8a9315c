// SPDX-License-Identifier: MIT
//
// Collections against an obvious model: a list of the timers that are due, one of the program's
// own events, and the descriptors that are ready.  In any call to the kernel that a collection
// makes an armer may come between.

#include "core/queue/collector.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/system/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/kevent_requests.h"
#include "tests/unit/model.h"

namespace kevent_test {
namespace {

constexpr uint32_t kOnce = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_ONESHOT;

int AddUser(int queue, uint64_t id) {
  return Add(queue, Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, kOnce));
}

size_t CountTimers(const std::vector<ukevent>& events) {
  return static_cast<size_t>(std::count_if(
      events.begin(), events.end(), [](const ukevent& e) { return e.type == KEVENT_POSIX_TIMER; }));
}

class CollectorLife {
 public:
  explicit CollectorLife(uint64_t seed)
      : choices_(seed), queue_(kevent::core::InitQueue(nullptr, 0, 0)) {
    most_ = Below(3) == 0 ? 100 : 10;
    watches_ = Below(2) == 0;
  }
  ~CollectorLife() {
    Sim().before_call = nullptr;
    for (const ModelTimer& timer : model_.timers) Delete(Handle(timer.handle));
    kevent::core::CloseDescriptor(queue_);
    for (const auto& [fd, ready] : descriptors_) kevent::sys::Close(fd);
  }
  CollectorLife(const CollectorLife&) = delete;
  CollectorLife& operator=(const CollectorLife&) = delete;

  void Step() {
    switch (Below(10)) {
      case 0:
        return MakeTimer();
      case 1:
        for (uint64_t i = Below(4); i != 0; --i) AddUserEvent();
        return;
      case 2:
        return ChangeDescriptor();
      case 3:
        return Sim().Advance(Below(kSecond));
      case 4:
        return Take();
      case 5:
        return TakeWhenEnough();
      case 6:
        return TakeInterrupted();
      default:
        for (uint64_t i = Below(4); i != 0; --i) Arm();
    }
  }

  void Check() {
    CheckQueues();
    ASSERT_TRUE(model_.CountDue() + Ready() == 0 || Sim().Readable(queue_));
    ASSERT_TRUE(Sim().violations.empty()) << Sim().violations.front();
  }

 private:
  uint64_t Below(uint64_t limit) { return choices_.Below(limit); }

  void MakeTimer() {
    if (model_.timers.size() >= most_) return;
    static constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
    ModelTimer timer;
    timer.clock = kClocks[Below(std::size(kClocks))];
    timer.cookie = model_.timers.size();
    timer.handle = Create(queue_, timer.clock, timer.cookie).bits();
    model_.timers.push_back(timer);
  }

  void Arm() {
    if (model_.timers.empty()) return;
    ModelTimer& timer = model_.timers[Below(model_.timers.size())];
    const bool absolute = Below(2) == 0;
    uint64_t value = 1 + Below(2 * kSecond);
    if (absolute) value += Model::Now(timer.clock) - kSecond;
    Set(timer, absolute, value);
  }

  void Set(ModelTimer& timer, bool absolute, uint64_t value) {
    const uint64_t interval = Below(3) == 0 ? 1 + Below(kSecond) : 0;
    const int flags = absolute ? TIMER_ABSTIME : 0;
    ASSERT_EQ(kevent_test::Set(Handle(timer.handle), flags, value, interval), 0);
    model_.Set(timer, absolute, value, interval);
  }

  void AddUserEvent() {
    // The first that is not ready: what was delivered is registered no more.
    uint64_t id = 1;
    while (std::count(users_.begin(), users_.end(), id) != 0) ++id;
    users_.push_back(id);
    ASSERT_EQ(AddUser(queue_, id), 0);
  }

  // Level-triggered ones.
  void ChangeDescriptor() {
    if (!watches_) return;
    if (descriptors_.size() < 8 && Below(2) == 0) {
      const int fd = Sim().OpenStranger();
      descriptors_[fd] = false;
      const auto id = static_cast<uint64_t>(fd);
      ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
    } else if (!descriptors_.empty()) {
      const auto chosen =
          std::next(descriptors_.begin(), static_cast<ptrdiff_t>(Below(descriptors_.size())));
      chosen->second = !chosen->second;
      Sim().SetReady(chosen->first, chosen->second ? uint32_t{EPOLLIN} : 0);
    }
  }

  size_t Ready() const {
    return users_.size() +
           static_cast<size_t>(std::count_if(descriptors_.begin(), descriptors_.end(),
                                             [](const auto& watched) { return watched.second; }));
  }

  // Of an odd room it is now one's turn and now the other's.
  unsigned Room() { return static_cast<unsigned>(2 + 2 * Below(Below(2) == 0 ? 4 : 60)); }

  void Take() {
    const unsigned max = Room();
    Compare(Collect(queue_, 0, max), max);
  }

  // Half of the room at least is for each of both, if it needs that; timers are in order.
  void Compare(const std::vector<ukevent>& events, unsigned max) {
    const size_t share = std::min<size_t>(max / 2, Ready());
    const size_t timers = std::min(model_.CountDue(), max - share);
    const size_t others = std::min(Ready(), max - timers);
    ASSERT_EQ(events.size(), timers + others);
    const std::vector<ModelEvent> expected = model_.Collect(timers);
    size_t next = 0;
    std::set<uint64_t> seen;
    for (const ukevent& event : events) {
      if (event.type != KEVENT_POSIX_TIMER) {
        CompareOther(event, seen);
        continue;
      }
      ASSERT_LT(next, expected.size());
      ASSERT_EQ(event.id.raw_u64, expected[next].handle) << "timer " << next;
      ASSERT_EQ(reinterpret_cast<uint64_t>(event.ptr), expected[next].cookie);
      ASSERT_EQ(event.ret_data[0], expected[next].overruns);
      ASSERT_EQ(event.ret_data[1], expected[next].lateness);
      ++next;
    }
    ASSERT_EQ(next, expected.size());
    Settled();
  }

  void CompareOther(const ukevent& event, std::set<uint64_t>& seen) {
    if (event.type == KEVENT_UNOTIFY) {
      ASSERT_FALSE(users_.empty());
      ASSERT_EQ(event.id.raw_u64, users_.front());
      return users_.pop_front();
    }
    ASSERT_EQ(event.type, uint32_t{KEVENT_POLL});
    const int fd = static_cast<int>(event.id.raw_u64);
    ASSERT_TRUE(descriptors_.count(fd) != 0 && descriptors_[fd]) << "it is not ready";
    ASSERT_TRUE(seen.insert(event.id.raw_u64).second) << "twice in a batch";
  }

  // After a collection: readable for what is left, and for that alone.
  void Settled() { ASSERT_EQ(Sim().Readable(queue_), model_.CountDue() + Ready() != 0); }

  // The call sleeps until so many are due, or its time is up.
  void TakeWhenEnough() {
    const unsigned max = Room();
    const auto min = static_cast<unsigned>(1 + Below(std::min(max, 12u)));
    const uint64_t patience = 1 + Below(kSecond);
    const uint64_t until = WhenDue(min, patience);
    const timespec timeout = ToTimespec(patience);
    const std::vector<ukevent> events = Collect(queue_, min, max, &timeout);
    ASSERT_EQ(Sim().Now(CLOCK_MONOTONIC), until);
    Compare(events, max);
  }

  // On CLOCK_MONOTONIC; no later than the end of patience.
  uint64_t WhenDue(unsigned min, uint64_t patience) const {
    std::vector<uint64_t> waits(Ready(), 0);
    for (const ModelTimer& timer : model_.timers) {
      const uint64_t now = Model::Now(timer.measured_on);
      if (timer.deadline != 0) waits.push_back(timer.deadline > now ? timer.deadline - now : 0);
    }
    std::sort(waits.begin(), waits.end());
    const uint64_t wait = waits.size() < min ? patience : std::min(waits[min - 1], patience);
    return Sim().Now(CLOCK_MONOTONIC) + wait;
  }

  // A timer that was not armed is set to the past meanwhile: it comes with this batch, in order,
  // or the queue is readable for it.
  void TakeInterrupted() {
    const unsigned max = Room();
    std::string moment;
    Sim().before_call = [&, left = Below(10)](const std::string& call) mutable {
      if (left-- != 0) return;
      moment = call;
      for (ModelTimer& timer : model_.timers) {
        if (timer.deadline == 0) return Set(timer, true, Model::Now(timer.clock) - Below(kSecond));
      }
    };
    const std::vector<ukevent> events = Collect(queue_, 0, max);
    Sim().before_call = nullptr;
    SCOPED_TRACE("in " + moment);
    uint64_t last = UINT64_MAX;
    std::set<uint64_t> seen;
    for (const ukevent& event : events) {
      if (event.type != KEVENT_POSIX_TIMER) {
        CompareOther(event, seen);
        continue;
      }
      const auto timer =
          std::find_if(model_.timers.begin(), model_.timers.end(),
                       [&event](const auto& its) { return its.handle == event.id.raw_u64; });
      ASSERT_TRUE(timer != model_.timers.end() && Model::Due(*timer));
      const uint64_t late = Model::Now(timer->measured_on) - timer->deadline;
      ASSERT_LE(late, last) << "events of a batch are in order of time";
      last = late;
      const ModelEvent expected = Model::Claim(*timer);
      ASSERT_EQ(event.ret_data[0], expected.overruns);
      ASSERT_EQ(event.ret_data[1], expected.lateness);
    }
    if (moment.empty()) Settled();
  }

  RandomChoices choices_;
  const int queue_;
  Model model_;
  std::deque<uint64_t> users_;
  std::map<int, bool> descriptors_;  // watched; true: ready
  size_t most_;
  bool watches_;
};

TEST(Collector, TakesWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    CollectorLife life(seed);
    for (int i = 0; i < 500 && !testing::Test::HasFailure(); ++i) {
      life.Step();
      life.Check();
    }
    if (testing::Test::HasFailure()) return;
  }
}

using CollectorTest = EngineTest;

// What one collection has one more of, the next has one fewer of.
TEST_F(CollectorTest, AnOddRoomGoesToEachInTurn) {
  std::vector<Handle> timers;
  for (int i = 0; i < 20; ++i) {
    timers.push_back(Create(queue_, CLOCK_MONOTONIC));
    SetIn(timers.back(), 1);
    ASSERT_EQ(AddUser(queue_, static_cast<uint64_t>(i)), 0);
  }
  Sim().Advance(1);
  for (int i = 0; i < 4; ++i) {
    const size_t first = CountTimers(Collect(queue_, 0, 3));
    const size_t second = CountTimers(Collect(queue_, 0, 3));
    EXPECT_EQ(first + second, 3u);
    EXPECT_NE(first, second);
  }
  for (const Handle timer : timers) Delete(timer);
}

// A timer is set to the past in each call to the kernel that a collection makes, once for less
// long than the one that is due and once for longer: the batch is in order, and what does not
// fit into it is left for the next one.
TEST_F(CollectorTest, ABatchIsInOrderWhateverIsArmedMeanwhile) {
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  const Handle second = Create(queue_, CLOCK_MONOTONIC);
  // A program that watches the queue by edges takes a batch that is not full for the last one.
  const int watcher = kevent::sys::CreateEpoll();
  ASSERT_EQ(kevent::sys::EpollAdd(watcher, queue_, EPOLLIN | EPOLLET), 0);
  epoll_event edge;
  for (const bool longer : {false, true}) {
    int calls = 0;
    for (bool armed = true; armed; ++calls) {
      SCOPED_TRACE(calls);
      SetIn(first, 1);
      Sim().Advance(kSecond);
      armed = false;
      ASSERT_EQ(kevent::sys::EpollTake(watcher, &edge, 1), 1);
      Sim().before_call = [&, left = calls](const std::string&) mutable {
        if (left-- != 0) return;
        armed = true;
        Set(second, TIMER_ABSTIME, longer ? 1 : Sim().Now(CLOCK_MONOTONIC) - 1);
      };
      const std::vector<ukevent> events = Collect(queue_);
      Sim().before_call = nullptr;
      ASSERT_EQ(readable(), armed && events.size() == 1);
      if (longer && readable()) {
        ASSERT_EQ(kevent::sys::EpollTake(watcher, &edge, 1), 1);
        const std::vector<ukevent> next = Collect(queue_);
        ASSERT_EQ(next.size(), 1u);
        EXPECT_EQ(next[0].id.raw_u64, second.bits());
      } else if (armed) {
        // With the same batch: it is not full.
        ASSERT_EQ(events.size(), 2u);
        EXPECT_EQ(events[longer ? 0 : 1].id.raw_u64, second.bits());
      }
      EXPECT_FALSE(readable());
    }
    EXPECT_GT(calls, 1);
  }
  kevent::sys::Close(watcher);
  Delete(first);
  Delete(second);
}

// A timer whose entry comes second is set meanwhile to a moment before that of the first.  The
// queue stays announced for it, and a program that watches by edges gets a new one.
TEST_F(CollectorTest, ATimerThatIsLeftThoughThereIsRoomMakesAnEdge) {
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  const Handle second = Create(queue_, CLOCK_MONOTONIC);
  Sim().Advance(kSecond);
  const uint64_t now = Sim().Now(CLOCK_MONOTONIC);
  const int watcher = kevent::sys::CreateEpoll();
  ASSERT_EQ(kevent::sys::EpollAdd(watcher, queue_, EPOLLIN | EPOLLET), 0);
  ASSERT_EQ(Set(first, TIMER_ABSTIME, now - 10), 0);
  ASSERT_EQ(Set(second, TIMER_ABSTIME, now - 5), 0);
  epoll_event edge;
  ASSERT_EQ(kevent::sys::EpollTake(watcher, &edge, 1), 1);
  ASSERT_EQ(kevent::sys::EpollTake(watcher, &edge, 1), 0);
  Sim().before_reading = [&] { Set(second, TIMER_ABSTIME, now - 100); };
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].id.raw_u64, first.bits());
  EXPECT_EQ(kevent::sys::EpollTake(watcher, &edge, 1), 1);
  EXPECT_EQ(Collect(queue_).size(), 1u);
  EXPECT_FALSE(readable());
  kevent::sys::Close(watcher);
  Delete(first);
  Delete(second);
}

// The armer has marked its timer, and relies on the announcement, which the harvest withdraws.
TEST_F(CollectorTest, ATimerIsNotForgottenThatWasArmedBeforeAHarvestWithdrew) {
  const auto socket = static_cast<uint64_t>(Sim().OpenStranger());
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, socket, KEVENT_POLL_POLLIN)), 0);
  const Handle first = Create(queue_, CLOCK_MONOTONIC);
  const Handle second = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(first, TIMER_ABSTIME, 1), 0);
  ASSERT_TRUE(readable());
  bool armed = false;
  Sim().before_reading = [&] { armed = Set(second, TIMER_ABSTIME, 1) == 0; };
  const size_t count = Collect(queue_).size();
  ASSERT_TRUE(armed);
  EXPECT_EQ(readable(), count == 1);
  EXPECT_EQ(count + Collect(queue_).size(), 2u);
  EXPECT_FALSE(readable());
  kevent::sys::Close(static_cast<int>(socket));
  Delete(first);
  Delete(second);
}

// One that kevent_ctl has made ready and that its source does not confirm, whether the call waits
// for a number or not.
TEST_F(CollectorTest, AKeventThatFailsItsLastCheckTakesNoRoom) {
  constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
  const int failing = Sim().OpenStranger();
  const ukevent checked = Request(KEVENT_POLL, static_cast<uint64_t>(failing), kIn,
                                  KEVENT_REQ_ET | KEVENT_REQ_LAST_CHECK);
  ASSERT_EQ(Add(queue_, checked), 0);
  const int ready[] = {Sim().OpenStranger(), Sim().OpenStranger()};
  for (const int fd : ready) {
    ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, static_cast<uint64_t>(fd), kIn)), 0);
    Sim().SetReady(fd, EPOLLIN);
  }
  for (const unsigned min : {0u, 1u, 2u}) {
    SCOPED_TRACE(min);
    ASSERT_EQ(Control(queue_, KEVENT_CTL_READY, checked), 0);
    const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
    const timespec timeout = {1, 0};
    EXPECT_EQ(Collect(queue_, min, 2, &timeout).size(), 2u);
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before);
  }
  // Nor does it count.
  Sim().SetReady(ready[1], 0);
  ASSERT_EQ(Control(queue_, KEVENT_CTL_READY, checked), 0);
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  const timespec timeout = {1, 0};
  EXPECT_EQ(Collect(queue_, 2, 2, &timeout).size(), 1u);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before + kSecond);
  for (const int fd : {failing, ready[0], ready[1]}) kevent::sys::Close(fd);
}

// A thread in timer_delete has ended the timer's handle and goes no further, perhaps for long.
TEST_F(CollectorTest, ATimerThatIsBeingDeletedIsNotCollected) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  SetIn(timer, 1, kSecond);
  Sim().Advance(1);
  kevent::core::TimerSlot& slot = kevent::core::SlotTable::At(timer.slot());
  EXPECT_TRUE(slot.life.End(timer.generation()));
  EXPECT_TRUE(readable());
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
  EXPECT_EQ(slot.word.axis_deadline().deadline(), 0u);
  EXPECT_EQ(slot.scheduled_at.load(), kevent::core::AxisDeadline());
}

}  // namespace
}  // namespace kevent_test
