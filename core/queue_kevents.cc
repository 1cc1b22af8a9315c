// SPDX-License-Identifier: MIT
//
// What a queue does for its set of kevents.

#include <cerrno>

#include "core/internal_descriptors.h"
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
  Visit(handle.slot());
  FreeReleased();
}

int Queue::OpenKevents(KeventSet** opened) {
  Locked locked(lock_);
  *opened = kevents();
  if (*opened != nullptr) return 0;
  KeventPages* pages = memory_->kevent_pages.load(std::memory_order_relaxed);
  if (pages == nullptr) {
    pages = static_cast<KeventPages*>(sys::MapPages(sizeof(KeventPages), sys::OnFork::kKeep));
    if (pages == nullptr) return ENOMEM;
    memory_->kevent_pages.store(pages, std::memory_order_release);
  }
  KeventSet* set = memory_->kevents.load(std::memory_order_relaxed);
  if (set == nullptr) {
    set = static_cast<KeventSet*>(sys::MapPages(sizeof(KeventSet), sys::OnFork::kWipe));
    if (set == nullptr) return ENOMEM;
    memory_->kevents.store(set, std::memory_order_release);
  }
  if (const int error = set->Open(this, pages); error != 0) return error;
  // A holding leader does not sleep on the set's epoll yet.
  if (held_.load(std::memory_order_relaxed)) Lower(axes_[kMonotonicAxis], 1);
  *opened = set;
  return 0;
}

// By the last pin; async-signal-safe.
void Queue::CloseKeventInternals() {
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (!found.is_internal() || found.queue() != number_ || found.role() != kRoleSource) continue;
    ReleaseDescriptor(fd, number_, kRoleSource);
  }
}

}  // namespace kevent::core
