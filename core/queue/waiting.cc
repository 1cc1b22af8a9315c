// SPDX-License-Identifier: MIT
//
// The ways in which the kernel objects of a queue wake its leader (core/queue/sleepers.h).
//
// Normally the leader sleeps on the internal epoll descriptor of the queue.  When events are due,
// but fewer than it asks for, that descriptor has to stay readable for others: then the leader
// "holds", and sleeps on the timerfds, which are set to the next deadlines that are not due yet.

#include <cerrno>

#include "core/queue/queue.h"
#include "core/system/system.h"

namespace kevent::core {

// Gives the sleeper a place, after it has found `due` events, fewer than it asks for.
void Queue::Enlist(Sleeper& sleeper, unsigned due) {
  if (!sleepers_.Enlist(sleeper, due) || due == 0) return;
  const int error = Hold();
  sleeper.error = error == -EAGAIN ? 0 : error;
  sleeper.role = error == 0 ? Sleeper::Role::kHoldingLeader : Sleeper::Role::kNone;
}

// Leaves the descriptor readable, and sets the kernel's timers to the deadlines that are not due
// yet.  Returns 0; -EAGAIN if an armer came in between, so that the leader has to look again; or an
// error if the leader cannot hold, as the kernel has no memory.
int Queue::Hold() {
  EventSet* const set = kevents();
  if (set != nullptr) {
    if (const int error = set->WatchEdges(); error < 0) return error;
  }
  doorbell_.Hold();
  // With kevents the leader sleeps on every edge of the epoll, and an announcement is one.  So
  // nothing is announced if the kernel reports an event by level anyhow, or if nothing is due: a
  // leader that waits for room in the ring may hold then, too.
  if ((set == nullptr || set->ready_level_triggered() == 0) && ReadableMembers() != 0) {
    doorbell_.Announce();
  }
  if (!doorbell_.TimersAreFree()) {
    doorbell_.StopHolding();
    return -ENOMEM;
  }
  for (uint32_t i = 0; i < axis_count(); ++i) {
    const auto axis = static_cast<uint8_t>(i);
    doorbell_.Rearm(axis, {index_.NextNotDue(axis), 0}, index_.now(axis), true);
  }
  // An armer that saw the queue announced and not held has told the kernel nothing, but it has
  // marked its timer before (model: HOLDS_WITHOUT_LOOKING_AGAIN).
  return LookAgain() ? -EAGAIN : 0;
}

void Queue::StopHolding(const Sleeper& sleeper) {
  if (!sleepers_.IsLeader(sleeper) || !doorbell_.held()) return;
  doorbell_.StopHolding();
  // Edges up to here are seen by the look that follows; later ones wake the leader again.
  if (EventSet* set = kevents(); set != nullptr) set->TakeEdges();
}

void Queue::Recall() {
  lock_.AssertHeld();
  doorbell_.Recall();
}

void Queue::RecallAll() {
  lock_.AssertHeld();
  sleepers_.WakeFollowers();
  if (sleepers_.has_leader()) doorbell_.Notify();
}

// Lists the descriptors that a holding leader sleeps on, which become readable with new events
// only.
unsigned Queue::HoldersDescriptors(pollfd* descriptors) const {
  if (const EventSet* set = kevents(); set != nullptr) {
    descriptors[0] = {set->edges(), POLLIN, 0};
    // Recall() sets the monotonic timer.
    const KernelTimer& monotonic = doorbell_.timer(kMonotonicAxis);
    const int timerfd = monotonic.source.load(std::memory_order_acquire) - 1;
    descriptors[1] = {timerfd, POLLIN, 0};
    return 2;
  }
  return doorbell_.TimersToPoll(descriptors);
}

// Takes the sleeper's place away, if it has one.  After a leader left, no thread holds until its
// successor has looked.
void Queue::Leave(Sleeper& sleeper) {
  if (sleepers_.IsLeader(sleeper)) {
    doorbell_.StopHolding();
    if (EventSet* set = kevents(); set != nullptr) set->IgnoreEdges();
  }
  sleepers_.Leave(sleeper);
}

int Queue::CommitRing(unsigned new_uidx, unsigned over) {
  Locked locked(lock_);
  const bool was_full = ring_.exists() && ring_.full();
  const int count = ring_.Commit(new_uidx, over);
  // A leader holds while it waits for room in the ring.
  if (was_full && count > 0) Recall();
  return count;
}

}  // namespace kevent::core
