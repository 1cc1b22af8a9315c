// SPDX-License-Identifier: MIT
//
// A queue's services for its set of kevents.

#include <cerrno>

#include "core/queue/queue.h"
#include "core/system/system.h"

namespace kevent::core {

int Queue::AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle) {
  lock_.AssertHeld();
  return AddTimerLocked(plan, record, TimerSlot::kOfKevent, handle);
}

void Queue::DeleteKeventTimer(Handle handle) {
  lock_.AssertHeld();
  SlotTable::End(handle);
  deleted_.fetch_add(1, std::memory_order_acq_rel);
  index_.Visit(handle.slot());
  TakeBackReleased();
}

// A setting that was not looked at yet would have it scheduled again.
void Queue::UnscheduleKeventTimer(Handle handle) {
  lock_.AssertHeld();
  DrainInbox();
  index_.Unschedule(SlotTable::At(handle.slot()));
}

void Queue::ScheduleKeventTimer(Handle handle) {
  lock_.AssertHeld();
  index_.Visit(handle.slot());
}

// The descriptor must not stay readable if nothing is left to collect.
void Queue::LookAnew() {
  {
    Locked locked(lock_);
    if (!open()) return;
    unsigned due;
    Collect(2, 0, nullptr, &due);
  }
  BeginReadsOfTransfers();
}

void Queue::BeginReadsOfTransfers() {
  EventSet* const set = kevents();
  if (set == nullptr) return;
  if (const uint32_t first = set->TakeReadsAhead(); first != 0) BeginReadsAhead(first);
}

int Queue::OpenKevents(EventSet** opened) {
  Locked locked(lock_);
  *opened = kevents();
  if (*opened != nullptr) return 0;
  KeventPages* pages = memory_->kevent_pages.load(std::memory_order_relaxed);
  if (pages == nullptr) {
    const int error = sys::MapPages(sizeof(KeventPages), sys::OnFork::kKeep, &pages);
    if (error < 0) return -error;
    memory_->kevent_pages.store(pages, std::memory_order_release);
  }
  EventSet* set = memory_->kevents.load(std::memory_order_relaxed);
  if (set == nullptr) {
    const int error = sys::MapPages(sizeof(EventSet), sys::OnFork::kWipe, &set);
    if (error < 0) return -error;
    memory_->kevents.store(set, std::memory_order_release);
  }
  if (const int error = set->Open(this, pages); error != 0) return error;
  // A holding leader does not sleep on the set's epoll yet.
  Recall();
  *opened = set;
  return 0;
}

// ---- The host of the set ----------------------------------------------------------

namespace {

Queue& Of(KeventHost* host) { return *static_cast<Queue*>(host); }
const Queue& Of(const KeventHost* host) { return *static_cast<const Queue*>(host); }

}  // namespace

uint32_t KeventHost::number() const { return Of(this).number(); }
int KeventHost::epoll() const { return Of(this).epoll(); }
int KeventHost::always_ready() const { return Of(this).always_ready(); }
uint32_t KeventHost::own_members() const { return Of(this).own_members(); }
unsigned KeventHost::ReadableMembers() const { return Of(this).ReadableMembers(); }
void KeventHost::Recall() { Of(this).Recall(); }
void KeventHost::RecallAll() { Of(this).RecallAll(); }
int KeventHost::AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle) {
  return Of(this).AddKeventTimer(plan, record, handle);
}
void KeventHost::DeleteKeventTimer(Handle handle) { Of(this).DeleteKeventTimer(handle); }
void KeventHost::ScheduleKeventTimer(Handle handle) { Of(this).ScheduleKeventTimer(handle); }
bool KeventHost::IsDue(uint32_t slot) const { return Of(this).IsDue(slot); }

}  // namespace kevent::core
