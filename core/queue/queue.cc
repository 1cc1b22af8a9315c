// SPDX-License-Identifier: MIT

#include "core/queue/queue.h"

#include <absl/base/optimization.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/registry.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

// ---- Opening and closing ----------------------------------------------------

int Queue::Open(uint32_t number, QueueMemory* memory) {
  if (memory_ == nullptr) {
    // The lock is initialised once: a late timer_delete on a former queue of this object may be
    // about to take it.
    number_ = number;
    memory_ = memory;
    doorbell_.Init(number, &lifetime_, &memory->monotonic_timerfd);
    lock_.Init();
  }
  lifetime_.BeginOpening();
  io_signal_.store(0, std::memory_order_relaxed);

  Locked locked(lock_);
  index_.Init(number, memory->indexes);
  index_.CloseAxes();
  sleepers_ = {};
  ring_ = {};
  const int error = doorbell_.Open();
  if (error != 0) {
    CloseInternals();
    return error;
  }
  index_.OpenAxis(kMonotonicAxis, false, false);
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
  if (memory_ == nullptr) return true;  // wiped by a fork
  if (EventSet* set = kevents(); set != nullptr) set->Clear();
  EmptyStock();
  if (deleted_.load(std::memory_order_acquire) != 0) DrainInbox();
  return index_.timers() == 0;
}

const char* Queue::Check() {
  Locked locked(lock_);
  if (memory_ == nullptr) return nullptr;  // wiped by a fork
  if (const char* broken = lifetime_.Check(); broken != nullptr) return broken;
  if (const char* broken = doorbell_.Check(); broken != nullptr) return broken;
  if (const char* broken = sleepers_.Check(); broken != nullptr) return broken;
  if (const char* broken = index_.Check(); broken != nullptr) return broken;
  if (EventSet* set = kevents(); set != nullptr) {
    if (const char* broken = set->Check(); broken != nullptr) return broken;
  }
  // A call takes its place among the sleepers after its pin, and leaves it before it unpins.
  if (sleepers_.has_leader() && lifetime_.pins() == 0) return "a leader is in no call";
  // An armer would not announce what is due, and no thread would sleep on the timer that it sets.
  if (doorbell_.held() && !sleepers_.has_leader()) return "the queue is held by nobody";
  return nullptr;
}

// ---- Axes -------------------------------------------------------------------

int Queue::FindOrMakeAxis(const ClockPlan& plan, uint8_t* index, bool* made) {
  const int error = doorbell_.FindOrMakeTimer(plan, index, made);
  if (error == 0 && *made) {
    // An alarm counts against RLIMIT_SIGPENDING, and its clock may be that of a
    // thread that comes and goes; a timerfd stays for the next timer.
    index_.OpenAxis(*index, plan.relative_on_monotonic, plan.kind == AxisKind::kCpuTime);
  }
  return error;
}

// Gives back the slots that the index has released.
void Queue::TakeBackReleased() {
  if (!index_.has_released()) return;
  const TimerIndex::Released released = index_.TakeReleased();
  deleted_.fetch_sub(released.timers, std::memory_order_acq_rel);
  if (released.count != 0) {
    TimerSlots().Free(released.first - 1, released.last - 1, released.count);
  }
  DropEmptied();
}

// Closes the alarms of the axes that have no timers any more.
void Queue::DropEmptied() {
  for (int axis; (axis = index_.TakeEmptied()) >= 0;) {
    doorbell_.DropTimer(static_cast<uint8_t>(axis));
  }
}

// ---- Timers -----------------------------------------------------------------

int Queue::AllocateSlot(uint32_t* slot) {
  int error = TimerSlots().Allocate(slot);
  if (error != 0) {
    Queues::ClearClosed();
    error = TimerSlots().Allocate(slot);
  }
  if (error != 0 && stock_.Take(slot)) {
    index_.Leave(kMonotonicAxis);
    return 0;
  }
  if (error != 0) return error;
  error = inbox_.Reserve(memory_->inbox, *slot);
  if (error != 0) TimerSlots().Free(*slot, *slot, 1);
  return error;
}

int Queue::AddTimer(const ClockPlan& plan, uint64_t cookie, Handle* handle) {
  const bool monotonic = plan.clock == CLOCK_MONOTONIC && plan.kind == AxisKind::kTimerfd;
  uint32_t slot;
  if (monotonic && stock_.Take(&slot)) {
    *handle = HandOut(slot, kMonotonicAxis, cookie, 0);
    return 0;
  }
  Locked locked(lock_);
  const int error = AddTimerLocked(plan, cookie, 0, handle);
  if (error == 0 && monotonic) FillStock();
  return error;
}

int Queue::AddTimerLocked(const ClockPlan& plan, uint64_t cookie, uint16_t flags, Handle* handle) {
  uint8_t index;
  bool made;
  if (const int error = FindOrMakeAxis(plan, &index, &made); error != 0) return error;
  uint32_t slot;
  if (const int error = JoinWithSlot(index, &slot); error != 0) {
    DropEmptied();
    if (made) doorbell_.DropTimer(index);
    return error;
  }
  *handle = HandOut(slot, index, cookie, flags);
  // A holding leader sleeps only on the timerfds that there were before.
  if (made) Recall();
  // Collecting makes no descriptors.
  if (index_.members(kMonotonicAxis) > 1) doorbell_.MakeSecondTimer();
  return 0;
}

namespace {

// A handler that has interrupted a setting and forked returns in the child, where the slot is
// wiped: the setting is made there, of no timer.
void Disarm(TimerSlot& timer) {
  PackedSetting before = timer.word.Guess();
  while (ABSL_PREDICT_FALSE(before.Unpack().armed() || before.interval() != 0)) {
    if (timer.word.Swap(before, PackedSetting(Disarmed(before.Unpack())))) return;
  }
}

}  // namespace

// Makes a timer of a slot that is the caller's alone.  As soon as the slot has its queue, a mark
// that an armer left behind lets a collector look at it; its word is disarmed.
Handle Queue::HandOut(uint32_t slot, uint8_t axis, uint64_t cookie, uint16_t flags) {
  TimerSlot& timer = SlotTable::At(slot);
  Disarm(timer);
  const uint32_t generation = timer.life.generation() + 1;
  timer.frozen_overruns.store(0, std::memory_order_relaxed);
  timer.cookie.store(cookie, std::memory_order_relaxed);
  timer.position_or_next_free = 0;
  timer.queue.exchange(static_cast<uint16_t>((number_ + 1) | flags));
  timer.axis.store(axis, std::memory_order_relaxed);
  timer.life.set_generation(generation);
  SlotTable::HandedOut(generation);
  return Handle(slot, generation);
}

int Queue::JoinWithSlot(uint8_t axis, uint32_t* slot) {
  int error = index_.Join(axis);
  if (error != 0) return error;
  error = AllocateSlot(slot);
  if (error != 0) index_.Leave(axis);
  return error;
}

// A program with few timers has no stock, and keeps no memory for it.
void Queue::FillStock() {
  const uint32_t wanted = std::min(SlotStock::kSize, index_.timers() / 16);
  for (uint32_t size = stock_.size(); size < wanted; ++size) {
    uint32_t slot;
    if (JoinWithSlot(kMonotonicAxis, &slot) != 0) return;
    stock_.Put(slot);
  }
}

// Requires that no call has the queue pinned.
void Queue::EmptyStock() {
  for (uint32_t slot; stock_.Take(&slot);) {
    index_.Leave(kMonotonicAxis);
    TimerSlots().Free(slot, slot, 1);
  }
}

void Queue::DrainInbox() {
  index_.Drain(inbox_, memory_->inbox);
  TakeBackReleased();
}

void Queue::DeletedTimer(uint32_t slot) {
  // So many deleted timers may lie in the index before timer_delete clears them out itself: it
  // takes one lock for all of them.
  constexpr uint32_t kBacklog = 64;

  // A deleted timer on a clock of CPU time does not wait for a collection, which may never come:
  // the last one on its clock has an alarm of the kernel's, and a thread that waits for it.
  const uint8_t axis = SlotTable::At(slot).axis.load(std::memory_order_relaxed);
  const bool has_alarm =
      doorbell_.timer(axis).kind.load(std::memory_order_acquire) == AxisKind::kCpuTime;
  inbox_.Mark(memory_->inbox, slot);
  if (deleted_.fetch_add(1, std::memory_order_acq_rel) + 1 < kBacklog && !has_alarm) return;
  if (has_alarm) {
    lock_.Acquire();
  } else if (!lock_.TryAcquire()) {
    return;  // a collector clears them out, or the next call of timer_delete does
  }
  DrainInbox();
  lock_.Release();
}

}  // namespace kevent::core
