// SPDX-License-Identifier: MIT
//
// The engine against the model, under operations that somebody chooses.
//
// Never early, never twice, never after delete or re-arm, never lost, phase
// kept, overruns, lateness and order exact; and after every step the queue's
// descriptor is readable if something is due, and is not after all was
// collected.

#ifndef KEVENT_TESTS_UNIT_LIFE_H_
#define KEVENT_TESTS_UNIT_LIFE_H_

#include <cerrno>
#include <iterator>
#include <vector>

#include "tests/unit/choices.h"
#include "tests/unit/engine.h"
#include "tests/unit/model.h"

namespace kevent_test {

class Life {
 public:
  // With faults, calls that the engine makes fail at times.
  enum class Faults { kNone, kSome };

  explicit Life(Choices& choices, Faults faults = Faults::kNone)
      : choices_(choices), faults_(faults), queue_(kevent::core::InitQueue(nullptr, 0, 0)) {
    for (int& weight : weights_) weight = Below(4) == 0 ? 0 : static_cast<int>(1 + Below(20));
    weights_[kFork] = weights_[kFork] > 15 ? 1 : 0;
    weights_[kClose] = weights_[kClose] > 10 ? 1 : 0;
    weights_[kCreate] += 3;
    weights_[kSet] += 1;
    scale_ = uint64_t{1} << (4 + Below(32));
    coarse_ = Below(2) == 0;
  }

  ~Life() {
    for (const ModelTimer& timer : model_.timers) Delete(Handle(timer.handle));
    if (queue_ >= 0) kevent::core::CloseDescriptor(queue_);
  }

  void Step() {
    if (faults_ == Faults::kSome && Below(3) == 0) {
      static constexpr int kErrors[] = {ENOMEM, EMFILE, ENFILE, ENOSPC, EAGAIN};
      Sim().FailCall(1 + static_cast<int>(Below(4)), kErrors[Below(std::size(kErrors))]);
      fault_pending_ = true;
    }
    Operate();
    Sim().FailCall(0, 0);
    fault_pending_ = false;
  }

  void Operate() {
    switch (Operation(PickWeighted())) {
      case kCreate:
        return CreateSome();
      case kSet:
      case kSetAgain:
        return SetOne();
      case kSetMany:
        return SetMany();
      case kGet:
        return GetOne();
      case kDelete:
        return DeleteOne();
      case kCollect:
        return CollectSome();
      case kAdvance:
        return Sim().Advance(Amount());
      case kStepRealtime:
        clock_was_set_ = true;
        return Sim().SetRealtime(static_cast<int64_t>(Amount()) * (Below(2) == 0 ? 1 : -1));
      case kLeapSecond:
        clock_was_set_ = true;
        return Sim().SetTaiOffset(Sim().Now(CLOCK_TAI) - Sim().Now(CLOCK_REALTIME) + kSecond);
      case kSuspend:
        return Sim().Suspend(Amount());
      case kDuplicate:
        return MoveToDuplicate();
      case kFork:
        return BecomeChild();
      case kClose:
        return CloseQueue();
      case kOperations:
        return;
    }
  }

  void Check() {
    if (model_.CountDue() != 0) {
      ASSERT_TRUE(Sim().Readable(queue_)) << "due, and not readable";
    }
    CheckQueues();
    ASSERT_TRUE(Sim().violations.empty()) << Sim().violations.front();
  }

 private:
  enum Operation {
    kCreate,
    kSet,
    kSetAgain,
    kSetMany,
    kGet,
    kDelete,
    kCollect,
    kAdvance,
    kStepRealtime,
    kLeapSecond,
    kSuspend,
    kDuplicate,
    kFork,
    kClose,
    kOperations
  };

  uint64_t Below(uint64_t limit) { return choices_.Below(limit); }

  int PickWeighted() {
    int total = 0;
    for (const int weight : weights_) total += weight;
    auto left = static_cast<int>(Below(static_cast<uint64_t>(total)));
    for (int i = 0;; ++i) {
      left -= weights_[i];
      if (left < 0) return i;
    }
  }

  // Of many magnitudes; coarse ones make equal deadlines.
  uint64_t Amount() {
    const uint64_t amount = 1 + Below(scale_ >> Below(8) | 1);
    return coarse_ ? (amount / 8 + 1) * 8 : amount;
  }

  ModelTimer* Any() {
    return model_.timers.empty() ? nullptr : &model_.timers[Below(model_.timers.size())];
  }

  // Many at times: the index has a heap for few and buckets for many.
  void CreateSome() {
    const uint64_t count = Below(8) == 0 ? 32 : 1;
    const clockid_t clock = AnyClock();
    for (uint64_t i = 0; i < count && model_.timers.size() < 200; ++i) {
      CreateOne(clock);
      if (count != 1) SetOne();
    }
  }

  clockid_t AnyClock() {
    static constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC,
                                            CLOCK_MONOTONIC,
                                            CLOCK_REALTIME,
                                            CLOCK_BOOTTIME,
                                            CLOCK_TAI,
                                            CLOCK_REALTIME,
                                            -10,
                                            CLOCK_PROCESS_CPUTIME_ID};
    return kClocks[Below(std::size(kClocks))];
  }

  void CreateOne(clockid_t clock) {
    ModelTimer timer;
    timer.clock = clock;
    timer.cookie = ++last_cookie_;
    int error;
    timer.handle = Create(queue_, timer.clock, timer.cookie, &error).bits();
    if (error != 0) {
      ASSERT_TRUE(FaultHappened()) << "timer_create: " << error;
      return;
    }
    model_.timers.push_back(timer);
  }

  struct Wanted {
    int flags;
    uint64_t value;
    uint64_t interval;
    bool absolute() const { return (flags & TIMER_ABSTIME) != 0; }
  };

  Wanted AnySetting(const ModelTimer& timer) {
    const bool absolute = Below(2) == 0;
    uint64_t value = Below(10) == 0 ? 0 : Amount();
    if (absolute && value != 0) {
      const uint64_t now = Model::Now(timer.clock);
      value = Below(3) == 0 && value < now ? now - value : now + value;
    }
    if (Below(50) == 0) value = UINT64_MAX / 2;
    const uint64_t interval = Below(3) == 0 ? Amount() : Below(8) == 0 ? 1 : 0;
    return {(absolute ? TIMER_ABSTIME : 0) | (Below(9) == 0 ? 64 : 0), value, interval};
  }

  void SetOne() {
    ModelTimer* timer = Any();
    if (timer == nullptr) return;
    const Wanted wanted = AnySetting(*timer);
    const uint64_t remaining = Model::Remaining(*timer);
    const uint64_t old_interval = timer->interval;
    Old old;
    ASSERT_EQ(Set(Handle(timer->handle), wanted.flags, wanted.value, wanted.interval, &old), 0);
    ASSERT_EQ(old.value, remaining);
    ASSERT_EQ(old.interval, old_interval);
    model_.Set(*timer, wanted.absolute(), wanted.value, wanted.interval);
  }

  // With several settings of one timer at times, and settings that are refused.
  void SetMany() {
    std::vector<kevent_setting> settings;
    std::vector<int> errors;
    int good = 0;
    for (uint64_t count = Below(Below(4) == 0 ? 100 : 4); count != 0; --count) {
      ModelTimer* timer = Any();
      if (timer == nullptr) return;
      const Wanted wanted = AnySetting(*timer);
      const bool refused = Below(16) == 0;
      settings.push_back({reinterpret_cast<timer_t>(timer->handle),
                          wanted.flags,
                          -1,
                          {ToTimespec(wanted.interval), ToTimespec(wanted.value)}});
      if (refused) {
        settings.back().value.it_value.tv_nsec = -1;
      } else {
        ++good;
        model_.Set(*timer, wanted.absolute(), wanted.value, wanted.interval);
      }
      errors.push_back(refused ? EINVAL : 0);
    }
    ASSERT_EQ(kevent::core::SetTimers(static_cast<unsigned>(settings.size()), settings.data(),
                                      [](timer_t, int, const itimerspec&) { return EPERM; }),
              good);
    for (size_t i = 0; i < settings.size(); ++i) ASSERT_EQ(settings[i].error, errors[i]);
  }

  void GetOne() {
    const ModelTimer* timer = Any();
    if (timer == nullptr) return;
    const Old now = Get(Handle(timer->handle));
    ASSERT_EQ(now.value, Model::Remaining(*timer));
    ASSERT_EQ(now.interval, timer->interval);
    ASSERT_EQ(Overrun(Handle(timer->handle)), timer->overruns);
  }

  void DeleteOne() {
    ModelTimer* timer = Any();
    if (timer == nullptr) return;
    const Handle handle(timer->handle);
    ASSERT_EQ(Delete(handle), 0);
    ASSERT_EQ(Delete(handle), EINVAL);
    ASSERT_EQ(SetIn(handle, 1), EINVAL);
    *timer = model_.timers.back();
    model_.timers.pop_back();
  }

  void CollectSome() {
    const unsigned max = 1 + static_cast<unsigned>(Below(Below(2) == 0 ? 4 : 300));
    const std::vector<ModelEvent> expected = model_.Collect(max);
    const std::vector<ukevent> events = Collect(queue_, 0, max);
    ASSERT_EQ(events.size(), expected.size());
    for (size_t i = 0; i < events.size(); ++i) {
      ASSERT_EQ(events[i].id.raw_u64, expected[i].handle) << "event " << i;
      ASSERT_EQ(reinterpret_cast<uint64_t>(events[i].ptr), expected[i].cookie);
      ASSERT_EQ(events[i].ret_data[0], expected[i].overruns);
      ASSERT_EQ(events[i].ret_data[1], expected[i].lateness);
    }
    if (model_.CountDue() != 0) return;
    // Once in vain after a step of a clock, never twice.
    if (clock_was_set_ && Sim().Readable(queue_)) {
      ASSERT_TRUE(Collect(queue_).empty());
    }
    ASSERT_FALSE(Sim().Readable(queue_)) << "all was collected";
    clock_was_set_ = false;
  }

  void MoveToDuplicate() {
    const int copy = kevent::core::Duplicate(queue_);
    if (copy < 0) {
      ASSERT_TRUE(FaultHappened()) << "dup: " << copy;
      return;
    }
    ASSERT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    queue_ = copy;
  }

  // The child has no timers; the descriptor names a queue of its own.
  void BecomeChild() {
    Sim().FailCall(0, 0);
    Sim().Fork(Below(2) == 0);
    if (!model_.timers.empty()) {
      ASSERT_EQ(Delete(Handle(model_.timers.front().handle)), EINVAL);
    }
    model_.timers.clear();
    ASSERT_TRUE(Collect(queue_).empty());
    ASSERT_FALSE(Sim().Readable(queue_));
  }

  // Its timers go on silently, until they are deleted.
  void CloseQueue() {
    ASSERT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    Sim().Advance(Amount());
    for (ModelTimer& timer : model_.timers) {
      const Old now = Get(Handle(timer.handle));
      ASSERT_EQ(now.value, Model::Remaining(timer));
      if (Below(2) == 0) {
        ASSERT_EQ(SetIn(Handle(timer.handle), Amount()), 0);
      }
      ASSERT_EQ(Delete(Handle(timer.handle)), 0);
    }
    model_.timers.clear();
    queue_ = kevent::core::InitQueue(nullptr, 0, 0);
    if (queue_ < 0) {
      ASSERT_TRUE(FaultHappened()) << "kevent_init: " << queue_;
      queue_ = kevent::core::InitQueue(nullptr, 0, 0);
    }
    ASSERT_GE(queue_, 0);
    ASSERT_TRUE(Collect(queue_).empty());
  }

  bool FaultHappened() const { return fault_pending_ && !Sim().failure_pending(); }

  Choices& choices_;
  const Faults faults_;
  bool fault_pending_ = false;
  Model model_;
  int queue_;
  uint64_t last_cookie_ = 0;
  int weights_[kOperations];
  uint64_t scale_;
  bool coarse_;
  bool clock_was_set_ = false;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_LIFE_H_
