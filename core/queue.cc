// SPDX-License-Identifier: MIT

#include "core/queue.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "core/internal_descriptors.h"
#include "core/process.h"
#include "core/registry.h"
#include "core/signals_blocked.h"
#include "core/system.h"

namespace kevent::core {

// ---- Opening and closing ----------------------------------------------------

int Queue::Open(uint32_t number, QueueMemory* memory) {
  if (memory_ == nullptr) {
    // Once: a late timer_delete on the queue that this was before may be about
    // to take the lock.
    number_ = number;
    memory_ = memory;
    doorbell_.Init(number, &lifetime_, &memory->monotonic_timerfd);
    lock_.Init();
  }
  lifetime_.BeginOpening();
  io_signal_.store(0, std::memory_order_relaxed);

  Locked locked(lock_);
  sleepers_ = {};
  ring_ = {};
  const int error = doorbell_.Open();
  if (error != 0) {
    CloseInternals();
    return error;
  }
  ClearIndex(kMonotonicAxis);
  lifetime_.FinishOpening();
  return 0;
}

void Queue::DropName() {
  if (!lifetime_.DropName()) return;
  const SignalsBlocked blocked;
  // A call that sleeps is woken, finds the queue closed, and wakes the next.
  if (lifetime_.Close()) doorbell_.Ring();
  Unpin();
}

bool Queue::Reusable() {
  if (!lifetime_.is_unused()) return false;
  Locked locked(lock_);
  if (memory_ == nullptr) return true;  // wiped
  if (KeventSet* set = kevents(); set != nullptr) set->Clear();
  if (deleted_.load(std::memory_order_acquire) != 0) DrainInbox();
  return timers_ == 0;
}

const char* Queue::Check() {
  Locked locked(lock_);
  if (const char* broken = lifetime_.Check(); broken != nullptr) return broken;
  if (const char* broken = doorbell_.Check(); broken != nullptr) return broken;
  if (const char* broken = sleepers_.Check(); broken != nullptr) return broken;
  // A call takes its place among the sleepers after its pin, and leaves it before it unpins.
  if (sleepers_.has_leader() && lifetime_.pins() == 0) return "a leader is in no call";
  // An armer would not announce what is due, and nobody would sleep on what it sets instead.
  if (doorbell_.held() && !sleepers_.has_leader()) return "the queue is held by nobody";
  return nullptr;
}

// ---- Axes -------------------------------------------------------------------

int Queue::FindOrMakeAxis(const ClockPlan& plan, uint8_t* index, bool* made) {
  const int error = doorbell_.FindOrMakeTimer(plan, index, made);
  if (error == 0 && *made) ClearIndex(*index);
  return error;
}

// Entries of the axis's former timers may be left.
void Queue::ClearIndex(uint8_t index) {
  if (FarPages* far = memory_->indexes[index].far.load(std::memory_order_relaxed); far != nullptr) {
    std::fill_n(far->heads, FarBucket::kCount, 0);
  }
  axes_[index].far = {};
  axes_[index].read = 0;
}

// One more timer can have a deadline on this axis, and on the monotonic one
// where its relative settings are kept.
int Queue::JoinAxes(uint8_t index, bool relative_on_monotonic) {
  int error = Grow(index);
  if (error == 0 && relative_on_monotonic) error = Grow(kMonotonicAxis);
  ++axes_[index].members;
  if (relative_on_monotonic) ++axes_[kMonotonicAxis].members;
  if (error != 0) LeaveAxes(index);
  return error;
}

// Room for one more entry in the index of this axis.
int Queue::Grow(uint8_t index) {
  AxisIndex& axis = axes_[index];
  QueueMemory::Span& span = memory_->indexes[index];
  const uint32_t capacity = span.capacity.load(std::memory_order_relaxed);
  if (axis.members == capacity) {
    constexpr uint32_t kFirstCapacity = 256;
    const uint32_t larger = capacity == 0 ? kFirstCapacity : capacity * 2;
    HeapEntry* entries;
    int error = sys::MapPages(EntryBytes(larger), sys::OnFork::kWipe, &entries);
    if (error < 0) return -error;
    FarPages* far;
    error = sys::MapPages(Far::BytesFor(larger), sys::OnFork::kWipe, &far);
    if (error < 0) {
      sys::UnmapPages(entries, EntryBytes(larger));
      return -error;
    }
    HeapEntry* const old = span.entries.load(std::memory_order_relaxed);
    FarPages* const old_far = span.far.load(std::memory_order_relaxed);
    if (old != nullptr) {
      std::copy_n(old, axis.heap_size, entries);
      RunState state = {};
      Run larger_run(entries + larger, RunSize(larger), &state, Positions());
      run(axis).ForEach([&larger_run](const HeapEntry& entry) {
        larger_run.Append(entry);
        return true;
      });
      axis.run = state;
      std::copy_n(old_far->heads, FarBucket::kCount, far->heads);
      std::copy_n(old_far->blocks(), axis.far.fresh, far->blocks());
    }
    // In this order: a child of fork may find the new pages with the old
    // capacity, never the old pages with the new capacity.
    span.entries.store(entries, std::memory_order_release);
    span.far.store(far, std::memory_order_release);
    span.capacity.store(larger, std::memory_order_release);
    if (old != nullptr) {
      sys::UnmapPages(old, EntryBytes(capacity));
      sys::UnmapPages(old_far, Far::BytesFor(capacity));
    }
  }
  return 0;
}

void Queue::LeaveAxes(uint8_t index) {
  AxisIndex& axis = axes_[index];
  const KernelTimer& timer = doorbell_.timer(index);
  if (timer.relative_on_monotonic.load(std::memory_order_relaxed)) {
    --axes_[kMonotonicAxis].members;
  }
  // A CPU-time clock may be that of a thread that comes and goes, and its alarm
  // counts against RLIMIT_SIGPENDING; a timerfd stays for the next timer.
  if (--axis.members == 0 && timer.kind.load(std::memory_order_relaxed) == AxisKind::kCpuTime) {
    doorbell_.DropTimer(index);
  }
}

// ---- Timers -----------------------------------------------------------------

int Queue::AllocateSlot(uint32_t* slot) {
  int error = Process::slots().Allocate(slot);
  if (error != 0) {
    Process::ClearClosed();
    error = Process::slots().Allocate(slot);
  }
  if (error != 0) return error;
  error = inbox_.Reserve(memory_->inbox, *slot);
  if (error != 0) Process::slots().Free(*slot, *slot, 1);
  return error;
}

int Queue::AddTimer(const ClockPlan& plan, uint64_t cookie, Handle* handle) {
  Locked locked(lock_);
  return AddTimerLocked(plan, cookie, 0, handle);
}

int Queue::AddTimerLocked(const ClockPlan& plan, uint64_t cookie, uint16_t flags, Handle* handle) {
  uint8_t index;
  bool made;
  if (const int error = FindOrMakeAxis(plan, &index, &made); error != 0) return error;
  int error = JoinAxes(index, plan.relative_on_monotonic);
  uint32_t slot;
  if (error == 0) {
    error = AllocateSlot(&slot);
    if (error != 0) LeaveAxes(index);
  }
  if (error != 0) {
    if (made) doorbell_.DropTimer(index);
    return error;
  }

  TimerSlot& timer = SlotTable::At(slot);
  const uint32_t generation = timer.life.generation() + 1;
  timer.frozen_overruns.store(0, std::memory_order_relaxed);
  timer.cookie.store(cookie, std::memory_order_relaxed);
  timer.position_or_next_free = 0;
  timer.queue.exchange(static_cast<uint16_t>((number_ + 1) | flags));
  timer.axis.store(index, std::memory_order_relaxed);
  timer.life.set_generation(generation);
  SlotTable::HandedOut(generation);
  ++timers_;
  // A holding leader sleeps on the timerfds that there were.
  if (made) Recall();
  *handle = Handle(slot, generation);
  return 0;
}

void Queue::DeletedTimer(uint32_t slot) {
  // So many deleted timers may lie in the index before timer_delete clears
  // them out itself: one lock for all of them.
  constexpr uint32_t kBacklog = 64;

  // Nor may nobody ever collect again: the last timer on a clock of CPU time has an
  // alarm of the kernel's, and a thread that waits for it.
  const uint8_t axis = SlotTable::At(slot).axis.load(std::memory_order_relaxed);
  const bool has_alarm =
      doorbell_.timer(axis).kind.load(std::memory_order_acquire) == AxisKind::kCpuTime;
  inbox_.Mark(memory_->inbox, slot);
  if (deleted_.fetch_add(1, std::memory_order_acq_rel) + 1 < kBacklog && !has_alarm) return;
  Locked locked(lock_);
  DrainInbox();
}

}  // namespace kevent::core
