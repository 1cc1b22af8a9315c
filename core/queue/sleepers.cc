// SPDX-License-Identifier: MIT

#include "core/queue/sleepers.h"

#include "core/base/invariant.h"
#include "core/system/system.h"

namespace kevent::core {

void Sleeper::Wake() {
  woken.exchange(1);
  if (timer >= 0) {
    sys::ArmTimerfd(timer, 1, false);
  } else {
    sys::FutexWake(woken.address());
  }
}

bool Sleepers::Enlist(Sleeper& sleeper, unsigned due) {
  if (leader_ == nullptr) leader_ = &sleeper;
  if (leader_ == &sleeper && due != 0) {
    // The events that are due may be enough for a follower.
    Sleeper* const other = LeastDemanding();
    if (other != nullptr && other->min_nr <= due) Promote(*other);
  }
  sleeper.woken.exchange(0);
  const bool leads = leader_ == &sleeper;
  if (!leads) Append(sleeper);
  sleeper.role = leads ? Sleeper::Role::kLeader : Sleeper::Role::kFollower;
  CheckInDebugBuild(*this);
  return leads;
}

// When a leader leaves, another sleeper succeeds it (model: LEADER_IS_NOT_SUCCEEDED).
void Sleepers::Leave(Sleeper& sleeper) {
  Unlink(sleeper);
  if (leader_ == &sleeper) {
    leader_ = nullptr;
    if (Sleeper* next = LeastDemanding(); next != nullptr) Promote(*next);
  }
  CheckInDebugBuild(*this);
}

void Sleepers::WakeFollowers() {
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next_) sleeper->Wake();
}

Sleeper* Sleepers::LeastDemanding() const {
  Sleeper* least = first_;
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next_) {
    if (sleeper->min_nr < least->min_nr) least = sleeper;
  }
  return least;
}

void Sleepers::Promote(Sleeper& follower) {
  Unlink(follower);
  leader_ = &follower;
  follower.Wake();
}

void Sleepers::Append(Sleeper& sleeper) {
  if (sleeper.linked_) return;
  sleeper.linked_ = true;
  sleeper.next_ = nullptr;
  sleeper.previous_ = last_;
  (last_ == nullptr ? first_ : last_->next_) = &sleeper;
  last_ = &sleeper;
}

void Sleepers::Unlink(Sleeper& sleeper) {
  if (!sleeper.linked_) return;
  sleeper.linked_ = false;
  (sleeper.previous_ == nullptr ? first_ : sleeper.previous_->next_) = sleeper.next_;
  (sleeper.next_ == nullptr ? last_ : sleeper.next_->previous_) = sleeper.previous_;
}

const char* Sleepers::Check() const {
  const Sleeper* before = nullptr;
  // If each sleeper is linked back correctly and the first one has none before it, the list has an
  // end.
  for (const Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next_) {
    if (sleeper->previous_ != before) return "a follower is not linked back to the one before it";
    if (!sleeper->linked_) return "a follower is in the list and says that it is not";
    if (sleeper == leader_) return "the leader is among the followers";
    if (sleeper->role != Sleeper::Role::kFollower) return "a follower has another's role";
    before = sleeper;
  }
  if (last_ != before) return "the last follower is not the end of the list";
  if (leader_ == nullptr) return first_ == nullptr ? nullptr : "the followers have no leader";
  if (leader_->linked_) return "the leader says that it is among the followers";
  const bool promoted = leader_->role == Sleeper::Role::kFollower;
  const bool woken = leader_->woken.load() != 0;
  if (promoted && !woken) return "a follower was made leader and sleeps on";
  if (!promoted && woken) return "a leader that has looked again still counts as woken";
  return nullptr;
}

}  // namespace kevent::core
