// SPDX-License-Identifier: MIT
//
// What a queue does for its set of kevents.

#include <cerrno>

#include "core/queue.h"
#include "core/system.h"
#include "core/timers.h"

namespace kevent::core {

int Queue::AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle) {
  lock_.AssertHeld();
  return AddTimerLocked(plan, record, TimerSlot::kOfKevent, handle);
}

void Queue::DeleteKeventTimer(Handle handle) {
  lock_.AssertHeld();
  EndTimer(handle);
  deleted_.fetch_add(1, std::memory_order_acq_rel);
  index_.Visit(handle.slot());
  TakeBackReleased();
}

// Where nothing is left to collect, the descriptor is not to stay readable.
void Queue::LookAnew() {
  Locked locked(lock_);
  if (!open()) return;
  unsigned due;
  Collect(2, 0, nullptr, &due);
}

int Queue::OpenKevents(KeventSet** opened) {
  Locked locked(lock_);
  *opened = kevents();
  if (*opened != nullptr) return 0;
  KeventPages* pages = memory_->kevent_pages.load(std::memory_order_relaxed);
  if (pages == nullptr) {
    const int error = sys::MapPages(sizeof(KeventPages), sys::OnFork::kKeep, &pages);
    if (error < 0) return -error;
    memory_->kevent_pages.store(pages, std::memory_order_release);
  }
  KeventSet* set = memory_->kevents.load(std::memory_order_relaxed);
  if (set == nullptr) {
    const int error = sys::MapPages(sizeof(KeventSet), sys::OnFork::kWipe, &set);
    if (error < 0) return -error;
    memory_->kevents.store(set, std::memory_order_release);
  }
  if (const int error = set->Open(this, pages); error != 0) return error;
  // A holding leader does not sleep on the set's epoll yet.
  Recall();
  *opened = set;
  return 0;
}

}  // namespace kevent::core
