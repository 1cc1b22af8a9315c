// SPDX-License-Identifier: MIT
//
// Reuse: a call that timer_delete and the reuse of the slot
// overtake does nothing to the new timer and says nothing of it; a slot comes
// back only when its own queue has let go of it, and once.

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <set>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

uint32_t SlotOf(timer_t timer) {
  return static_cast<uint32_t>(reinterpret_cast<uint64_t>(timer)) & 0x1fffffff;
}

// Slots below it have been used, and so many are in use.
uint32_t g_used_slots = 0;
uint32_t g_timers = 0;

timer_t Create(int queue, uintptr_t cookie = 0) {
  sigevent request;
  kevent_sigevent(&request, queue, reinterpret_cast<void*>(cookie));
  timer_t timer;
  EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &request, &timer), 0) << std::strerror(errno);
  g_used_slots = std::max(g_used_slots, SlotOf(timer) + 1);
  ++g_timers;
  return timer;
}

int Delete(timer_t timer) {
  const int result = timer_delete(timer);
  if (result == 0) --g_timers;
  return result;
}

int SetAt(timer_t timer, Nanos moment, Nanos interval = 0, itimerspec* old = nullptr) {
  const itimerspec setting = Setting(moment, interval);
  return timer_settime(timer, TIMER_ABSTIME, &setting, old);
}

Nanos Remaining(timer_t timer) {
  itimerspec setting = {};
  EXPECT_EQ(timer_gettime(timer, &setting), 0) << std::strerror(errno);
  return ToNanos(setting.it_value);
}

// Timers of a queue that are deleted all at once: a slot that was free before
// theirs is then used again, before one that was never used.
class Backlog {
 public:
  explicit Backlog(int queue) : queue_(queue) {
    for (timer_t& timer : timers_) timer = Create(queue);
  }
  ~Backlog() {
    for (const timer_t timer : made_) EXPECT_EQ(Delete(timer), 0);
    DeleteAll();
    CollectReady(queue_);
  }
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  // Whether it was free when they were made.
  bool uses(uint32_t slot) const {
    return std::any_of(timers_.begin(), timers_.end(),
                       [slot](timer_t timer) { return SlotOf(timer) == slot; });
  }

  // Makes timers of `queue` until one has this slot; 0 if it is not free.
  timer_t TakeSlot(uint32_t slot, int queue, uintptr_t cookie) {
    const uint32_t free_at_most = g_used_slots - g_timers;
    DeleteAll();
    for (uint32_t i = 0; i < free_at_most; ++i) {
      made_.push_back(Create(queue, cookie));
      if (SlotOf(made_.back()) == slot) return made_.back();
    }
    return {};
  }

  // Whether the slots of the timers made are all different.
  bool distinct() const {
    std::set<uint32_t> slots;
    for (const timer_t timer : made_) slots.insert(SlotOf(timer));
    return slots.size() == made_.size();
  }

 private:
  void DeleteAll() {
    if (deleted_) return;
    deleted_ = true;
    for (const timer_t timer : timers_) EXPECT_EQ(Delete(timer), 0);
    CollectReady(queue_);  // which lets go of their slots
  }

  const int queue_;
  std::array<timer_t, 100> timers_;
  std::vector<timer_t> made_;
  bool deleted_ = false;
};

// The queue of the old timer, and that of the new one.
enum class NewQueue { kSame, kOther };
constexpr std::array kEitherQueue = {NewQueue::kSame, NewQueue::kOther};

constexpr uintptr_t kOld = 1;
constexpr uintptr_t kNew = 2;

struct Scene {
  explicit Scene(NewQueue which) : other_is_new(which == NewQueue::kOther) {}

  // What overtakes a call for the old timer.  False if the slot did not come
  // back, since somebody else was deleting it.
  bool DeleteAndReuse() {
    delete_result = Delete(old_timer);
    CollectReady(queue.fd());
    new_timer = backlog->TakeSlot(SlotOf(old_timer), new_queue(), kNew);
    return new_timer != timer_t();
  }
  int new_queue() const { return other_is_new ? other.fd() : queue.fd(); }

  const bool other_is_new;
  Queue queue;
  Queue other;
  std::optional<Backlog> backlog{other.fd()};
  const timer_t old_timer = Create(queue.fd(), kOld);
  timer_t new_timer = {};
  int delete_result = 0;
};

class Reuse : public SteppedTest {};

TEST_F(Reuse, SettingDoesNotArmTheNewTimer) {
  for (const NewQueue which : kEitherQueue) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Scene scene(which);
      int result = 0;
      int error = 0;
      stepper.Run(
          [&] {
            result = SetAt(scene.old_timer, 1);
            error = errno;
          },
          [&] { EXPECT_TRUE(scene.DeleteAndReuse()); });
      if (!stepper.interrupted()) {
        EXPECT_EQ(Delete(scene.old_timer), 0);
        continue;
      }
      EXPECT_TRUE(result == 0 || error == EINVAL);
      EXPECT_EQ(Remaining(scene.new_timer), 0);
      EXPECT_EQ(SetAt(scene.old_timer, 1), -1);
      EXPECT_TRUE(CollectReady(scene.queue.fd()).empty());
      EXPECT_TRUE(CollectReady(scene.other.fd()).empty());
      EXPECT_FALSE(Readable(scene.queue.fd()) || Readable(scene.other.fd()));
    }
  }
}

TEST_F(Reuse, SettingDoesNotChangeWhatTheNewTimerIsSetTo) {
  for (const NewQueue which : kEitherQueue) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Scene scene(which);
      const Nanos begin = Now(CLOCK_MONOTONIC);
      SetAt(scene.old_timer, begin + kHour, kSecond);
      itimerspec old_value = {};
      int result = 0;
      stepper.Run([&] { result = SetAt(scene.old_timer, begin + 3 * kHour, kSecond, &old_value); },
                  [&] {
                    EXPECT_TRUE(scene.DeleteAndReuse());
                    SetAt(scene.new_timer, begin + 2 * kHour, kSecond);
                  });
      if (result == 0) {
        EXPECT_LE(ToNanos(old_value.it_value), kHour);
      }
      if (!stepper.interrupted()) {
        EXPECT_EQ(Delete(scene.old_timer), 0);
        continue;
      }
      EXPECT_LE(Remaining(scene.new_timer), 2 * kHour);
      EXPECT_GT(Remaining(scene.new_timer), kHour);
    }
  }
}

// The new timer has collected a completion, whose overruns are reported, and is
// due again.
TEST_F(Reuse, SettingDoesNotTakeBackWhatTheNewTimerHasCollected) {
  for (const NewQueue which : kEitherQueue) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Scene scene(which);
      stepper.Run([&] { SetAt(scene.old_timer, Now(CLOCK_MONOTONIC) + kHour); },
                  [&] {
                    EXPECT_TRUE(scene.DeleteAndReuse());
                    SetAt(scene.new_timer, 1, 1);
                    EXPECT_EQ(Collect(scene.new_queue(), 1, 1).size(), 1u);
                    EXPECT_EQ(timer_getoverrun(scene.new_timer), INT_MAX);
                  });
      if (!stepper.interrupted()) {
        EXPECT_EQ(Delete(scene.old_timer), 0);
        continue;
      }
      EXPECT_EQ(timer_getoverrun(scene.new_timer), INT_MAX);
      EXPECT_EQ(Cookies(Collect(scene.new_queue(), 0, 2)), std::vector<uintptr_t>{kNew});
    }
  }
}

// The new timer is due and has not been collected.
TEST_F(Reuse, SettingDoesNotBringTheNewTimerToTheOldQueue) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    Scene scene(NewQueue::kOther);
    stepper.Run([&] { SetAt(scene.old_timer, Now(CLOCK_MONOTONIC) + kHour); },
                [&] {
                  EXPECT_TRUE(scene.DeleteAndReuse());
                  SetAt(scene.new_timer, 1);
                });
    EXPECT_TRUE(CollectReady(scene.queue.fd()).empty());
    if (!stepper.interrupted()) {
      EXPECT_EQ(Delete(scene.old_timer), 0);
      continue;
    }
    EXPECT_EQ(CollectReady(scene.other.fd()), std::vector<uintptr_t>{kNew});
  }
}

TEST_F(Reuse, NothingIsReportedOfTheNewTimer) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    Scene scene(NewQueue::kSame);
    SetAt(scene.old_timer, Now(CLOCK_MONOTONIC) + kHour);
    itimerspec value = {};
    int result = 0;
    stepper.Run([&] { result = timer_gettime(scene.old_timer, &value); },
                [&] {
                  EXPECT_TRUE(scene.DeleteAndReuse());
                  SetAt(scene.new_timer, Now(CLOCK_MONOTONIC) + 2 * kHour);
                });
    if (result == 0) {
      EXPECT_LE(ToNanos(value.it_value), kHour);
      EXPECT_GT(ToNanos(value.it_value), 0);
    }
    if (!stepper.interrupted()) {
      EXPECT_EQ(Delete(scene.old_timer), 0);
    }
  }
}

TEST_F(Reuse, NoOverrunsAreReportedOfTheNewTimer) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    Scene scene(NewQueue::kSame);
    SetAt(scene.old_timer, Now(CLOCK_MONOTONIC) - kSecond, kHour);
    EXPECT_EQ(Collect(scene.queue.fd(), 1, 1).size(), 1u);
    int result = -1;
    stepper.Run([&] { result = timer_getoverrun(scene.old_timer); },
                [&] {
                  EXPECT_TRUE(scene.DeleteAndReuse());
                  SetAt(scene.new_timer, 1, 1);
                  EXPECT_EQ(Collect(scene.new_queue(), 1, 1).size(), 1u);
                });
    EXPECT_LE(result, 0);
    if (!stepper.interrupted()) {
      EXPECT_EQ(result, 0);
      EXPECT_EQ(Delete(scene.old_timer), 0);
    }
  }
}

TEST_F(Reuse, DeletionDoesNotDeleteTheNewTimer) {
  for (const NewQueue which : kEitherQueue) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Scene scene(which);
      SetAt(scene.old_timer, Now(CLOCK_MONOTONIC) + kHour);
      int result = 0;
      bool reused = false;
      stepper.Run([&] { result = Delete(scene.old_timer); },
                  [&] {
                    reused = scene.DeleteAndReuse();
                    if (reused) SetAt(scene.new_timer, Now(CLOCK_MONOTONIC) + kHour);
                  });
      if (!stepper.interrupted()) continue;
      EXPECT_EQ(result + scene.delete_result, -1);  // one of the two, and one only
      if (reused) {
        EXPECT_GT(Remaining(scene.new_timer), 0);
      }
      EXPECT_EQ(Delete(scene.old_timer), -1);
      EXPECT_TRUE(scene.backlog->distinct());
    }
  }
}

// The batch has the completion if it was claimed before the deletion, so that
// from some instruction on it always has it.
TEST_F(Reuse, DeletionDuringACollection) {
  bool claimed_before = false;
  unsigned runs = 0;
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next(); ++runs) {
    Scene scene(NewQueue::kOther);
    SetAt(scene.old_timer, 1);
    std::array<ukevent, 8> events;
    int count = 0;
    stepper.Run(
        [&] { count = kevent_get_events(scene.queue.fd(), 0, 8, nullptr, events.data(), 0); },
        [&] {
          EXPECT_EQ(Delete(scene.old_timer), 0);
          // The collection has the slot in its hands.
          EXPECT_EQ(scene.backlog->TakeSlot(SlotOf(scene.old_timer), scene.other.fd(), kNew),
                    timer_t());
          EXPECT_TRUE(scene.backlog->distinct());
        });
    EXPECT_TRUE(CollectReady(scene.queue.fd()).empty());
    if (!stepper.interrupted()) {
      EXPECT_EQ(count, 1);
      EXPECT_EQ(Delete(scene.old_timer), 0);
      continue;
    }
    if (runs == 1) {
      EXPECT_EQ(count, 0);
    }
    EXPECT_EQ(count, claimed_before || count != 0 ? 1 : 0);
    claimed_before = count != 0;
    // Now it has let go of it.
    scene.backlog.emplace(scene.other.fd());
    EXPECT_TRUE(scene.backlog->uses(SlotOf(scene.old_timer)) ||
                scene.backlog->TakeSlot(SlotOf(scene.old_timer), scene.other.fd(), kNew));
    EXPECT_TRUE(scene.backlog->distinct());
  }
  EXPECT_TRUE(claimed_before);
}

TEST_F(Reuse, CollectionDuringADeletion) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    Scene scene(NewQueue::kOther);
    SetAt(scene.old_timer, 1);
    stepper.Run([&] { EXPECT_EQ(Delete(scene.old_timer), 0); },
                [&] { EXPECT_LE(CollectReady(scene.queue.fd()).size(), 1u); });
    EXPECT_TRUE(CollectReady(scene.queue.fd()).empty());
    EXPECT_NE(scene.backlog->TakeSlot(SlotOf(scene.old_timer), scene.other.fd(), kNew), timer_t());
    EXPECT_TRUE(scene.backlog->distinct());
  }
}

}  // namespace
}  // namespace kevent_test
