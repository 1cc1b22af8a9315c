// SPDX-License-Identifier: MIT
//
// TimerIndex against an obvious model: each timer's setting in a vector that is looked through
// for every question.  Armers set timers as Queue::Armed has them, so that the index lags.

#include "core/timers/timer_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/descriptors/process_state.h"
#include "core/queue/queues.h"
#include "tests/unit/choices.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::AxisDeadline;
using kevent::core::HeapEntry;
using kevent::core::Inbox;
using kevent::core::InboxDirectory;
using kevent::core::kLatest;
using kevent::core::kMaxAxes;
using kevent::core::kMonotonicAxis;
using kevent::core::PackedSetting;
using kevent::core::Process;
using kevent::core::Setting;
using kevent::core::SlotTable;
using kevent::core::TimerIndex;
using kevent::core::TimerSlot;
using kevent::core::TimerSlots;

constexpr uint32_t kQueue = 9000;  // no queue of the engine's has this number

// Clocks as a queue has them: that can be set, so that relative timers are on the monotonic axis;
// that go on; and of CPU time, whose axes are given back.
struct AxisPlan {
  bool also_monotonic;
  bool reports_when_empty;
};
constexpr AxisPlan kPlans[] = {{false, false}, {true, false}, {false, true}, {false, true}};
constexpr uint8_t kAxes = std::size(kPlans);

struct ModelTimer {
  uint32_t slot;
  uint8_t axis;               // of its clock
  uint8_t deadline_axis = 0;  // the monotonic one, or that of its clock
  uint64_t deadline = 0;      // 0: disarmed
  uint64_t order = 0;         // of arming
};

// An index, and the queue's part that it needs.
class OpenIndex {
 public:
  OpenIndex() {
    EXPECT_EQ(Process::Start(), 0);
    index->Init(kQueue, pages);
    for (uint8_t axis = 0; axis < kAxes; ++axis) Open(axis);
  }
  OpenIndex(const OpenIndex&) = delete;
  OpenIndex& operator=(const OpenIndex&) = delete;

  void Open(uint8_t axis) {
    index->OpenAxis(axis, kPlans[axis].also_monotonic, kPlans[axis].reports_when_empty);
  }

  // The slot of a timer that has joined the axis.
  uint32_t Make(uint8_t axis) {
    uint32_t slot;
    EXPECT_EQ(TimerSlots().Allocate(&slot), 0);
    EXPECT_EQ(inbox.Reserve(*directory, slot), 0);
    TimerSlot& timer = SlotTable::At(slot);
    timer.position_or_next_free = 0;
    timer.queue.exchange(kQueue + 1);
    timer.axis.store(axis, std::memory_order_relaxed);
    timer.life.set_generation(timer.life.generation() + 1);
    return slot;
  }

  void Swap(TimerSlot& timer, uint64_t deadline, bool on_monotonic_axis) {
    PackedSetting before = timer.word.Read();
    Setting setting = Disarmed(before.Unpack());
    setting.deadline = deadline;
    setting.on_monotonic_axis = on_monotonic_axis;
    EXPECT_TRUE(timer.word.Swap(before, PackedSetting(setting)));
  }

  // As Queue::Armed.
  void Arm(uint32_t slot, uint64_t deadline, bool on_monotonic_axis, uint64_t order) {
    TimerSlot& timer = SlotTable::At(slot);
    timer.arming_order.store(order, std::memory_order_relaxed);
    Swap(timer, deadline, on_monotonic_axis);
    const AxisDeadline scheduled = timer.scheduled_at.load();
    if (scheduled.deadline() != 0 && scheduled.deadline() < deadline &&
        scheduled.on_monotonic_axis() == on_monotonic_axis) {
      return;
    }
    inbox.Mark(*directory, slot);
  }

  // As EndTimer and Queue::DeletedTimer.
  void Delete(uint32_t slot) {
    TimerSlot& timer = SlotTable::At(slot);
    EXPECT_TRUE(timer.life.End(timer.life.generation()));
    Swap(timer, 0, false);
    timer.queue.fetch_or(TimerSlot::kAbandoned);
    inbox.Mark(*directory, slot);
  }

  void Drain() { index->Drain(inbox, *directory); }

  // The slots that come back, as the queue gives them back; *timers is how many were released.
  std::vector<uint32_t> TakeReleased(uint32_t* timers) {
    const TimerIndex::Released released = index->TakeReleased();
    *timers = released.timers;
    std::vector<uint32_t> slots;
    for (uint32_t slot = released.first; slots.size() < released.count;) {
      slots.push_back(slot - 1);
      if (slot != released.last) slot = SlotTable::At(slot - 1).position_or_next_free;
    }
    if (released.count != 0) {
      EXPECT_EQ(slots.back(), released.last - 1);
      TimerSlots().Free(released.first - 1, released.last - 1, released.count);
    }
    return slots;
  }

  TimerIndex::Pages pages[kMaxAxes] = {};
  Inbox inbox{};
  const std::unique_ptr<InboxDirectory> directory = std::make_unique<InboxDirectory>();
  const std::unique_ptr<TimerIndex> index = std::make_unique<TimerIndex>();
};

class IndexLife {
 public:
  explicit IndexLife(uint64_t seed) : choices_(seed) {
    constexpr size_t kMost[] = {3, 40, 300, 700};
    most_ = kMost[Below(std::size(kMost))];
    scale_ = uint64_t{1} << (8 + Below(34));
  }
  ~IndexLife() {
    while (!timers_.empty()) DeleteOne();
    DrainAll();
    EXPECT_EQ(index_.timers(), 0u);
  }
  IndexLife(const IndexLife&) = delete;
  IndexLife& operator=(const IndexLife&) = delete;

  void Step() {
    switch (Below(12)) {
      case 0:
        for (uint64_t i = Below(4) == 0 ? Below(most_) : 1; i != 0; --i) MakeOne();
        break;
      case 1:
        for (uint64_t i = Below(16) == 0 ? Below(most_) : 1; i != 0; --i) DeleteOne();
        break;
      case 2:
        DrainAll();
        break;
      case 3:
        TimePasses();
        break;
      case 4:
        Ask();
        break;
      case 5:
        Claim();
        break;
      case 6:
        MarkInVain();
        break;
      default:
        for (uint64_t i = Below(4) == 0 ? Below(most_) : 1; i != 0; --i) ArmOne();
    }
    CheckAll();
  }

 private:
  uint64_t Below(uint64_t limit) { return choices_.Below(limit); }

  // Of many magnitudes; coarse ones make equal deadlines.
  uint64_t Amount() {
    const uint64_t amount = 1 + Below(scale_ >> Below(8) | 1);
    return Below(2) == 0 ? (amount / 64 + 1) * 64 : amount;
  }

  void MakeOne() {
    if (timers_.size() >= most_) return;
    ModelTimer timer = {};
    timer.axis = static_cast<uint8_t>(Below(kAxes));
    const uint32_t before = index_.members(timer.axis);
    if (Below(8) == 0) Sim().FailCall(1 + static_cast<int>(Below(4)), ENOMEM);
    const int error = index_.Join(timer.axis);
    Sim().FailCall(0, 0);
    if (error != 0) {
      ASSERT_EQ(error, ENOMEM);
      ASSERT_EQ(index_.members(timer.axis), before);
      emptied_.insert(timer.axis);  // if it has no members, now again
      return;
    }
    timer.slot = open_.Make(timer.axis);
    timers_.push_back(timer);
    ArmOne(timers_.back());
  }

  void ArmOne() {
    if (!timers_.empty()) ArmOne(timers_[Below(timers_.size())]);
  }
  void ArmOne(ModelTimer& timer) {
    timer.deadline_axis =
        kPlans[timer.axis].also_monotonic && Below(2) == 0 ? kMonotonicAxis : timer.axis;
    const uint64_t now = now_[timer.deadline_axis];
    uint64_t deadline =
        Below(3) == 0 && now > Amount() ? now - Below(now) % scale_ : now + Amount();
    // Pushed back, as a timeout is.
    if (Below(3) == 0 && timer.deadline != 0) deadline = timer.deadline + Below(2) * Amount();
    if (Below(100) == 0) deadline = kLatest;
    if (Below(10) == 0) deadline = 0;
    timer.deadline = std::min(deadline, kLatest);
    timer.order = ++armings_;
    const bool on_monotonic = timer.axis != kMonotonicAxis && timer.deadline_axis == kMonotonicAxis;
    if (timer.deadline != 0) return open_.Arm(timer.slot, timer.deadline, on_monotonic, armings_);
    open_.Swap(SlotTable::At(timer.slot), 0, false);  // the index finds out when it comes by
  }

  void DeleteOne() {
    if (timers_.empty()) return;
    ModelTimer& timer = timers_[Below(timers_.size())];
    open_.Delete(timer.slot);
    deleted_.push_back(timer);
    timer = timers_.back();
    timers_.pop_back();
  }

  // Everything that was deleted comes back, and each axis that has no members by then.
  void DrainAll() {
    open_.Drain();
    TakeBack();
  }

  void TakeBack() {
    ASSERT_EQ(index_.has_released(), !deleted_.empty());
    for (const ModelTimer& timer : deleted_) {
      left_.push_back(timer.slot);
      emptied_.insert(timer.axis);
    }
    if (left_.size() > 100) left_.erase(left_.begin(), left_.end() - 100);
    uint32_t released;
    std::vector<uint32_t> slots = open_.TakeReleased(&released);
    ASSERT_EQ(released, deleted_.size());
    std::sort(slots.begin(), slots.end());
    std::vector<uint32_t> expected;
    for (const ModelTimer& timer : deleted_) expected.push_back(timer.slot);
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(slots, expected);
    deleted_.clear();

    std::set<int> empty;
    for (const uint8_t axis : emptied_) {
      if (kPlans[axis].reports_when_empty && Members(axis) == 0) empty.insert(axis);
    }
    emptied_.clear();
    for (int axis; (axis = index_.TakeEmptied()) >= 0;) {
      ASSERT_EQ(empty.erase(axis), 1u) << "axis " << axis;
      Open(static_cast<uint8_t>(axis));
      now_[axis] = 1 + Below(kSecond);  // another clock
    }
    ASSERT_TRUE(empty.empty()) << "axis " << *empty.begin();
    if (!timers_.empty() || Below(2) == 0) return;
    // The queue is closed and opened.
    index_.CloseAxes();
    ASSERT_EQ(index_.axis_count(), 0u);
    for (uint8_t axis = 0; axis < kAxes; ++axis) Open(axis);
  }

  void Open(uint8_t axis) {
    open_.Open(axis);
    ASSERT_EQ(index_.now(axis), 0u);
    read_[axis] = 0;
  }

  // As a collection begins: the index agrees with the words, and what is due by now is near.
  void Begin() {
    DrainAll();
    for (uint8_t axis = 0; axis < kAxes; ++axis) index_.AdvanceTo(axis, read_[axis]);
  }

  void TimePasses() {
    DrainAll();
    for (uint8_t axis = 0; axis < kAxes; ++axis) {
      index_.Skip(axis);
      ASSERT_EQ(index_.now(axis), 0u);
      // A clock that can be set goes back at times.
      const uint64_t step = Below(8) == 0 ? 0 : Amount();
      const bool back = kPlans[axis].also_monotonic && Below(8) == 0 && now_[axis] > step;
      now_[axis] += back ? 0 - step : step;
      read_[axis] = Below(16) == 0 ? 0 : now_[axis];  // 0: it could not be read
      index_.AdvanceTo(axis, read_[axis]);
      ASSERT_EQ(index_.now(axis), read_[axis]);
    }
  }

  // The index agrees with the words, or has a timer too early.
  void Ask() {
    Begin();
    for (uint8_t axis = 0; axis < kAxes; ++axis) {
      const uint64_t earliest = Earliest(axis);
      if (index_.empty(axis)) {
        ASSERT_EQ(earliest, 0u);
      }
      const uint64_t later = NextNotDue(axis);
      const uint64_t next = index_.NextNotDue(axis);
      ASSERT_TRUE(next == 0 || next > read_[axis]);
      ASSERT_EQ(next == 0 && later != 0, false);
      if (later != 0) {
        ASSERT_LE(next, later);
      }
      CheckAll();
      const HeapEntry* const agreed = index_.EarliestAgreed(axis);
      ASSERT_EQ(agreed == nullptr ? 0 : agreed->deadline(), earliest) << "axis " << int{axis};
      ASSERT_EQ(index_.Earliest(axis), agreed);
      if (Below(2) == 0) {
        ASSERT_EQ(index_.SecondAgreed(axis), Second(axis)) << "axis " << int{axis};
      }
    }
    for (const ModelTimer& timer : timers_) ASSERT_EQ(index_.IsDue(timer.slot), IsDue(timer));
    const auto due = static_cast<unsigned>(Due().size());
    const auto limit = static_cast<unsigned>(Below(2 * timers_.size() + 2));
    ASSERT_EQ(index_.CountDue(limit), std::min(due, limit));
    ASSERT_GE(index_.CountNear(), due);
  }

  // In order, the longest due first, of equals the one that was armed first.
  void Claim() {
    Begin();
    std::multimap<std::pair<uint64_t, uint64_t>, ModelTimer*> due = Due();
    uint64_t most = Below(2) == 0 ? 1 + Below(4) : most_;
    while (most-- != 0) {
      uint64_t late;
      int axis;
      while ((axis = index_.LongestDue(&late)) >= 0) {
        const HeapEntry top = *index_.Earliest(static_cast<uint8_t>(axis));
        const TimerSlot& slot = SlotTable::At(top.slot());
        if (TimerIndex::Agrees(static_cast<uint8_t>(axis), top, slot.word.axis_deadline())) break;
        index_.Reindex(top.slot());
        if (most_ <= 40) CheckAll();
      }
      ASSERT_EQ(axis < 0, due.empty());
      if (axis < 0) break;
      ModelTimer& timer = *due.begin()->second;
      const HeapEntry& first = *index_.Earliest(static_cast<uint8_t>(axis));
      ASSERT_EQ(first.slot(), timer.slot);
      ASSERT_EQ(axis, timer.deadline_axis);
      ASSERT_EQ(late, read_[axis] - timer.deadline);
      due.erase(due.begin());
      Expire(timer);
      if (most_ <= 40) CheckAll();
    }
    TakeBack();
  }

  // As Collector::Claim: the next deadline of a periodic timer, or none.
  void Expire(ModelTimer& timer) {
    timer.deadline = Below(2) == 0 ? 0 : std::min(read_[timer.deadline_axis] + Amount(), kLatest);
    const bool on_monotonic = timer.axis != kMonotonicAxis && timer.deadline_axis == kMonotonicAxis;
    TimerSlot& slot = SlotTable::At(timer.slot);
    slot.scheduled_at.ClearBeforeSwap();
    open_.Swap(slot, timer.deadline, on_monotonic && timer.deadline != 0);
    if (timer.deadline == 0) return index_.Remove(slot);
    index_.Place(timer.slot, slot, timer.deadline_axis, AxisDeadline(timer.deadline, on_monotonic));
  }

  // An armer that was interrupted for long marks a slot that is in no queue any more, or in one
  // again.
  void MarkInVain() {
    if (!left_.empty()) open_.inbox.Mark(*open_.directory, left_[Below(left_.size())]);
  }

  bool IsDue(const ModelTimer& timer) const {
    return timer.deadline != 0 && timer.deadline <= read_[timer.deadline_axis];
  }
  std::multimap<std::pair<uint64_t, uint64_t>, ModelTimer*> Due() {
    std::multimap<std::pair<uint64_t, uint64_t>, ModelTimer*> due;
    for (ModelTimer& timer : timers_) {
      const uint64_t late = read_[timer.deadline_axis] - timer.deadline;
      if (IsDue(timer)) due.insert({{kLatest - late, timer.order}, &timer});
    }
    return due;
  }
  uint64_t Earliest(uint8_t axis) const { return EarliestAfter(axis, 0); }
  uint64_t NextNotDue(uint8_t axis) const { return EarliestAfter(axis, read_[axis]); }
  uint64_t EarliestAfter(uint8_t axis, uint64_t moment) const {
    uint64_t earliest = 0;
    for (const ModelTimer& timer : timers_) {
      if (timer.deadline_axis != axis || timer.deadline <= moment) continue;
      if (earliest == 0 || timer.deadline < earliest) earliest = timer.deadline;
    }
    return earliest;
  }

  // Of timers with one deadline, too.
  uint64_t Second(uint8_t axis) const {
    std::multiset<uint64_t> deadlines;
    for (const ModelTimer& timer : timers_) {
      if (timer.deadline_axis == axis && timer.deadline != 0) deadlines.insert(timer.deadline);
    }
    return deadlines.size() < 2 ? 0 : *std::next(deadlines.begin());
  }

  // Those that were deleted are members until the index has found out.
  uint32_t Members(uint8_t axis) const {
    const auto of = [axis](const ModelTimer& timer) {
      return timer.axis == axis || (axis == kMonotonicAxis && kPlans[timer.axis].also_monotonic);
    };
    return static_cast<uint32_t>(std::count_if(timers_.begin(), timers_.end(), of) +
                                 std::count_if(deleted_.begin(), deleted_.end(), of));
  }

  void CheckAll() {
    ASSERT_EQ(index_.Check(), nullptr) << index_.Check();
    if (index_.has_released()) return;
    for (uint32_t i = 0; i < index_.axis_count(); ++i) {
      const auto axis = static_cast<uint8_t>(i);
      ASSERT_EQ(index_.members(axis), Members(axis)) << "axis " << i;
    }
    ASSERT_EQ(index_.timers(), timers_.size() + deleted_.size());
  }

  RandomChoices choices_;
  OpenIndex open_;
  TimerIndex& index_ = *open_.index;
  size_t most_;
  uint64_t scale_;
  std::vector<ModelTimer> timers_;
  std::vector<ModelTimer> deleted_;  // that the index has yet to release
  std::vector<uint32_t> left_;       // slots of some that it has released
  std::set<uint8_t> emptied_;        // axes that a timer has left
  uint64_t now_[kAxes] = {kSecond, kSecond, kSecond, kSecond};
  uint64_t read_[kAxes] = {};  // by the collection
  uint64_t armings_ = 0;
};

TEST(TimerIndex, IsWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    IndexLife life(seed);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) life.Step();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(TimerIndex, ReportsAnAxisWithoutMembersOnce) {
  OpenIndex open;
  TimerIndex& index = *open.index;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(index.Join(2), 0);
    index.Leave(2);
    EXPECT_EQ(index.Check(), nullptr) << index.Check();
  }
  EXPECT_EQ(index.TakeEmptied(), 2);
  EXPECT_EQ(index.TakeEmptied(), -1);
  ASSERT_EQ(index.Join(2), 0);
  index.Leave(2);
  ASSERT_EQ(index.Join(2), 0);
  EXPECT_EQ(index.TakeEmptied(), -1);
  index.Leave(2);
  EXPECT_EQ(index.TakeEmptied(), 2);
  EXPECT_EQ(index.TakeEmptied(), -1);
}

// What is in the inbox by a slot that another queue has by now.
TEST(TimerIndex, LeavesAnotherQueuesTimersAlone) {
  OpenIndex open;
  TimerIndex& index = *open.index;
  ASSERT_EQ(index.Join(kMonotonicAxis), 0);
  const uint32_t slot = open.Make(kMonotonicAxis);
  TimerSlot& timer = SlotTable::At(slot);
  timer.queue.exchange(kQueue + 2);
  open.Arm(slot, kSecond, false, 1);
  open.Drain();
  EXPECT_TRUE(index.empty(kMonotonicAxis));
  EXPECT_EQ(timer.scheduled_at.load(), AxisDeadline());
  timer.queue.exchange(kQueue + 1);
  index.Visit(slot);
  ASSERT_NE(index.Earliest(kMonotonicAxis), nullptr);
  EXPECT_EQ(index.Earliest(kMonotonicAxis)->slot(), slot);
  open.Delete(slot);
  open.Drain();
  uint32_t timers;
  EXPECT_EQ(open.TakeReleased(&timers), std::vector<uint32_t>{slot});
}

// Its slot is never used again, and does not count any more either.
TEST(TimerIndex, ReleasesATimerThatHasHadTheLastGeneration) {
  OpenIndex open;
  TimerIndex& index = *open.index;
  ASSERT_EQ(index.Join(kMonotonicAxis), 0);
  const uint32_t slot = open.Make(kMonotonicAxis);
  SlotTable::At(slot).life.set_generation(kevent::core::kLastGeneration);
  open.Delete(slot);
  open.Drain();
  EXPECT_TRUE(index.has_released());
  uint32_t timers;
  EXPECT_TRUE(open.TakeReleased(&timers).empty());
  EXPECT_EQ(timers, 1u);
  EXPECT_EQ(index.timers(), 0u);
  EXPECT_EQ(index.members(kMonotonicAxis), 0u);
}

// Check() is what Debug builds and the fuzzers rely on: it must see each invariant broken that a
// slot can break.
TEST(TimerIndex, ABrokenInvariantIsSeen) {
  OpenIndex open;
  TimerIndex& index = *open.index;
  uint32_t slots[40];
  for (uint32_t i = 0; i < 40; ++i) {
    ASSERT_EQ(index.Join(kMonotonicAxis), 0);
    slots[i] = open.Make(kMonotonicAxis);
    // Some in the heap, where they come in no order, and the others in buckets.
    open.Arm(slots[i], kSecond * (100 - i), false, i);
  }
  open.Drain();
  EXPECT_EQ(index.Check(), nullptr) << index.Check();
  TimerSlot& near = SlotTable::At(index.Earliest(kMonotonicAxis)->slot());
  TimerSlot* far = nullptr;
  for (const uint32_t slot : slots) {
    if (kevent::core::FarPlace::IsOne(SlotTable::At(slot).position_or_next_free)) {
      far = &SlotTable::At(slot);
    }
  }
  ASSERT_NE(far, nullptr);

  near.queue.exchange(kQueue + 2);
  EXPECT_STREQ(index.Check(), "a timer of another queue is indexed");
  near.queue.exchange(kQueue + 1);
  near.entry_axis = 1;
  EXPECT_STREQ(index.Check(), "an indexed timer says another axis");
  near.entry_axis = kMonotonicAxis;
  ++near.position_or_next_free;
  EXPECT_STREQ(index.Check(), "an indexed timer says another place");
  --near.position_or_next_free;
  const AxisDeadline scheduled = near.scheduled_at.load();
  near.scheduled_at.Set(AxisDeadline(1, false));
  EXPECT_STREQ(index.Check(), "an indexed timer says another deadline");
  near.scheduled_at.Set(scheduled);

  const AxisDeadline begins = far->scheduled_at.load();
  far->scheduled_at.Set(AxisDeadline(1, false));
  EXPECT_STREQ(index.Check(), "a timer in a bucket says another moment than it");
  far->scheduled_at.Set(begins);
  const uint32_t place = std::exchange(far->position_or_next_free, 0);
  EXPECT_STREQ(index.Check(), "a timer is not in the bucket that it says");
  far->position_or_next_free = place;
  EXPECT_EQ(index.Check(), nullptr) << index.Check();

  for (const uint32_t slot : slots) open.Delete(slot);
  open.Drain();
  EXPECT_EQ(index.Check(), nullptr) << index.Check();
  SlotTable::At(slots[3]).queue.exchange(kQueue + 1);
  EXPECT_STREQ(index.Check(), "a released slot still has a queue");
  SlotTable::At(slots[3]).queue.exchange(0);
  uint32_t timers;
  EXPECT_EQ(open.TakeReleased(&timers).size(), 40u);
}

}  // namespace
}  // namespace kevent_test
