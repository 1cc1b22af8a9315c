// SPDX-License-Identifier: MIT
//
// The leader's place in a queue (core/sleepers.h), as the kernel objects of the queue see it.
//
// Normally the leader sleeps on the queue's internal epoll descriptor.  When
// something is due but fewer than it asked for, that descriptor has to stay
// readable for others: then it "holds", and sleeps on the timerfds, which are
// set to the next deadlines that are not yet due.

#include <cerrno>

#include "core/queue.h"
#include "core/system.h"

namespace kevent::core {

// A place for a thread that found `due` completions, fewer than it wants.
void Queue::Enlist(Sleeper& sleeper, unsigned due) {
  if (leader_ == nullptr) {
    Unlink(sleeper);
    leader_ = &sleeper;
  }
  if (leader_ == &sleeper && due != 0) {
    // Somebody else may be content with what is due.
    Sleeper* other = LeastDemanding();
    if (other != nullptr && other->min_nr <= due) Promote(*other);
  }
  sleeper.woken.exchange(0);
  if (leader_ != &sleeper) {
    Append(sleeper);
    sleeper.role = Sleeper::Role::kFollower;
  } else if (due == 0) {
    sleeper.role = Sleeper::Role::kLeader;
  } else {
    const int error = Hold();
    sleeper.error = error == -EAGAIN ? 0 : error;
    sleeper.role = error == 0 ? Sleeper::Role::kHoldingLeader : Sleeper::Role::kNone;
  }
}

// Leaves the descriptor readable and sets the kernel's timers to what is not
// yet due.  -EAGAIN when an armer came in between: look again; or why the leader
// cannot sleep so: the kernel has no memory.
int Queue::Hold() {
  KeventSet* const set = kevents();
  if (set != nullptr) {
    if (const int error = set->WatchEdges(); error < 0) return error;
  }
  held_.exchange(true);
  // To announce what the kernel knows would wake this leader, who sleeps on
  // whatever happens to the epoll; and so would what is not there, each time that
  // it looks: for want of room in the ring it may hold with nothing due.
  if ((set == nullptr || set->ready_by_level() == 0) && ReadableMembers() != 0) Announce();
  if (!AnnouncedByMember()) {
    held_.exchange(false);
    return -ENOMEM;
  }
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
    Rearm(axes_[i], NextNotDue(axes_[i]), true);
  }
  // An armer that saw the queue announced, and not held, has marked before
  // (model: HOLDS_WITHOUT_LOOKING_AGAIN).
  return LookAgain() ? -EAGAIN : 0;
}

void Queue::StopHolding(const Sleeper& sleeper) {
  if (leader_ != &sleeper || !held_.load()) return;
  held_.exchange(false);
  // What comes after this wakes it again.
  if (KeventSet* set = kevents(); set != nullptr) set->TakeEdges();
}

// Has a holding leader look again; what wakes it needs no memory.
void Queue::Recall() {
  lock_.AssertHeld();
  if (held_.load()) Lower(axes_[kMonotonicAxis], 1);
}

void Queue::RecallAll() {
  lock_.AssertHeld();
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next) Rouse(*sleeper);
  if (leader_ == nullptr) return;
  Recall();
  if (!held_.load()) Announce();
}

// What a holding leader sleeps on: what becomes readable with what is new.
unsigned Queue::HoldersDescriptors(pollfd* descriptors) const {
  if (const KeventSet* set = kevents(); set != nullptr) {
    descriptors[0] = {set->edges(), POLLIN, 0};
    // For Recall.
    const int monotonic = axes_[kMonotonicAxis].source.load(std::memory_order_acquire) - 1;
    descriptors[1] = {monotonic, POLLIN, 0};
    return 2;
  }
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_acquire); ++i) {
    const AxisKind kind = axes_[i].kind.load(std::memory_order_acquire);
    if (kind == AxisKind::kUnused || kind == AxisKind::kCpuTime) continue;
    const int fd = axes_[i].source.load(std::memory_order_acquire) - 1;
    descriptors[count++] = {fd, POLLIN, 0};
  }
  return count;
}

// Gives up whatever place it has.  A leader is succeeded (model:
// LEADER_IS_NOT_SUCCEEDED).
void Queue::Leave(Sleeper& sleeper) {
  Unlink(sleeper);
  if (leader_ != &sleeper) return;
  leader_ = nullptr;
  held_.exchange(false);
  if (KeventSet* set = kevents(); set != nullptr) set->IgnoreEdges();
  if (Sleeper* next = LeastDemanding(); next != nullptr) Promote(*next);
}

Sleeper* Queue::LeastDemanding() {
  Sleeper* least = first_;
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next) {
    if (sleeper->min_nr < least->min_nr) least = sleeper;
  }
  return least;
}

int Queue::CommitRing(unsigned new_uidx, unsigned over) {
  Locked locked(lock_);
  const bool was_full = ring_.exists() && ring_.full();
  const int count = ring_.Commit(new_uidx, over);
  // Who waits for room holds.
  if (was_full && count > 0) Recall();
  return count;
}

// Makes a follower the leader, and wakes it.
void Queue::Promote(Sleeper& sleeper) {
  Unlink(sleeper);
  leader_ = &sleeper;
  Rouse(sleeper);
}

void Queue::Rouse(Sleeper& sleeper) {
  sleeper.woken.exchange(1);
  if (sleeper.timer >= 0) {
    sys::ArmTimerfd(sleeper.timer, 1, false);
  } else {
    sys::FutexWake(sleeper.woken.address());
  }
}

void Queue::Append(Sleeper& sleeper) {
  if (sleeper.linked) return;
  sleeper.linked = true;
  sleeper.next = nullptr;
  sleeper.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &sleeper;
  last_ = &sleeper;
}

void Queue::Unlink(Sleeper& sleeper) {
  if (!sleeper.linked) return;
  sleeper.linked = false;
  (sleeper.previous == nullptr ? first_ : sleeper.previous->next) = sleeper.next;
  (sleeper.next == nullptr ? last_ : sleeper.next->previous) = sleeper.previous;
}

}  // namespace kevent::core
