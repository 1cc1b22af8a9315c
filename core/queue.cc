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
    lock_.Init();
  }
  lifetime_.BeginOpening();
  held_.exchange(false);
  timerfd_announces_.store(false, std::memory_order_relaxed);
  left_a_number_.store(false, std::memory_order_relaxed);
  closed_numbers_.store(false, std::memory_order_relaxed);
  io_signal_.store(0, std::memory_order_relaxed);
  refusal_.store(0, std::memory_order_relaxed);
  exit_requested_.store(false, std::memory_order_relaxed);
  announced_.Reset();

  Locked locked(lock_);
  sleepers_ = {};
  ring_ = {};
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
    kernel_timers_[i].kind.store(AxisKind::kUnused, std::memory_order_relaxed);
    kernel_timers_[i].armed.Reset();
  }
  axis_count_.store(0, std::memory_order_relaxed);

  int error = AddInternal(AdoptDescriptor(number_, kRoleEpoll, sys::CreateEpoll), &epoll_);
  if (error == 0) error = AddInternal(AdoptAlwaysReady(), &always_ready_);
  uint8_t monotonic;
  bool made;
  if (error == 0) {
    error = FindOrMakeAxis({CLOCK_MONOTONIC, AxisKind::kTimerfd, false}, &monotonic, &made);
  }
  if (error != 0) {
    CloseInternals();
    return error;
  }
  lifetime_.FinishOpening();
  return 0;
}

void Queue::DropName() {
  if (!lifetime_.DropName()) return;
  const SignalsBlocked blocked;
  // A call that sleeps is woken, finds the queue closed, and wakes the next.
  if (lifetime_.Close()) Ring();
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
  if (const char* broken = sleepers_.Check(); broken != nullptr) return broken;
  // A call takes its place among the sleepers after its pin, and leaves it before it unpins.
  if (sleepers_.has_leader() && lifetime_.pins() == 0) return "a leader is in no call";
  // An armer would not announce what is due, and nobody would sleep on what it sets instead.
  if (held_.load() && !sleepers_.has_leader()) return "the queue is held by nobody";
  return nullptr;
}

// ---- Axes -------------------------------------------------------------------

int Queue::FindOrMakeAxis(const ClockPlan& plan, uint8_t* index, bool* made) {
  *made = false;
  const uint32_t count = axis_count_.load(std::memory_order_relaxed);
  uint32_t unused = count;
  for (uint32_t i = 0; i < count; ++i) {
    const AxisKind kind = kernel_timers_[i].kind.load(std::memory_order_relaxed);
    if (kind == AxisKind::kUnused) {
      unused = i;
    } else if (kernel_timers_[i].clock.load(std::memory_order_relaxed) == plan.clock &&
               ServesNewTimers(static_cast<uint8_t>(i))) {
      *index = static_cast<uint8_t>(i);
      return 0;
    }
  }
  if (unused == kMaxAxes) return EAGAIN;
  *index = static_cast<uint8_t>(unused);
  if (const int error = MakeSource(*index, plan); error != 0) return error;
  ClearIndex(*index);
  if (unused == count) axis_count_.store(count + 1, std::memory_order_release);
  *made = true;
  return 0;
}

// Not if it is the kernel timer of a thread that has gone: timers on its clock
// may be left when a thread is made that has the same id.
bool Queue::ServesNewTimers(uint8_t index) {
  KernelTimer& timer = kernel_timers_[index];
  if (timer.kind.load(std::memory_order_relaxed) != AxisKind::kCpuTime) return true;
  if (!IsPast(timer)) return SourceLives(timer);
  const bool lives = SourceOfPastLives(timer);
  // It may have been put off before it expired.
  if (lives) AlarmFired(index);
  return lives;
}

// Whether the moment that the kernel was told has come.
bool Queue::IsPast(const KernelTimer& timer) {
  const Nanoseconds armed = DeadlineOf(timer.armed.Load().value());
  Nanoseconds now;
  return armed != 0 && sys::Now(timer.clock.load(std::memory_order_relaxed), &now) == 0 &&
         armed <= now;
}

// Only the kernel's timer knows whether the thread or process that it is of has
// gone, and says so when it is set.  One whose moment has come would expire again
// by that: then it is for the next collection to find out.
bool Queue::SourceLives(KernelTimer& timer) {
  if (timer.ended.load(std::memory_order_relaxed)) return false;
  const int alarm = timer.source.load(std::memory_order_relaxed) - 1;
  if (alarm < 0 || IsPast(timer)) return true;
  timer.armed.Tell([alarm, &timer](uint64_t earliness) {
    if (sys::ArmAlarm(alarm, DeadlineOf(earliness)) == -ESRCH) timer.ended = true;
  });
  return !timer.ended.load(std::memory_order_relaxed);
}

// The same of one whose moment has come: it is put off, as it will be anyhow when
// the collection settles.
bool Queue::SourceOfPastLives(KernelTimer& timer) {
  const int alarm = timer.source.load(std::memory_order_relaxed) - 1;
  if (alarm >= 0 && sys::ArmAlarm(alarm, kLatest) == -ESRCH) timer.ended = true;
  return !timer.ended.load(std::memory_order_relaxed);
}

bool Queue::ClockLives(uint8_t axis) {
  const SignalsBlocked blocked;
  if (!Pin()) return true;  // closed: nobody hears of it
  const bool lives = SourceLives(kernel_timers_[axis]);
  Unpin();
  return lives;
}

int Queue::MakeSource(uint8_t index, const ClockPlan& plan) {
  KernelTimer& timer = kernel_timers_[index];
  timer.clock.store(plan.clock, std::memory_order_relaxed);
  timer.relative_on_monotonic.store(plan.relative_on_monotonic, std::memory_order_relaxed);
  timer.alarm_fired.store(false, std::memory_order_relaxed);
  timer.ended.store(false, std::memory_order_relaxed);
  if (plan.kind == AxisKind::kCpuTime) {
    const int thread = Process::alarm_thread().Reserve();
    if (thread < 0) return -thread;
    int alarm;
    const int value = static_cast<int>(number_ << 8 | index);
    if (const int error = sys::CreateAlarm(plan.clock, thread, value, &alarm); error < 0) {
      Process::alarm_thread().Unreserve();
      return -error;
    }
    timer.source.store(alarm + 1, std::memory_order_release);
  } else {
    const clockid_t base = plan.kind == AxisKind::kTai ? CLOCK_REALTIME : plan.clock;
    const auto create = [base] { return sys::CreateTimerfd(base); };
    const int adopted = AdoptDescriptor(number_, index, create);
    if (const int error = AddInternal(adopted, &timer.source); error != 0) {
      return error;
    }
    const int timerfd = timer.source.load(std::memory_order_relaxed) - 1;
    if (index == kMonotonicAxis) {
      memory_->monotonic_timerfd.store(timerfd + 1, std::memory_order_release);
    }
    int error = sys::EpollAdd(epoll(), timerfd, EPOLLIN);
    // As it is; but where a sandbox forbids it, there is to be no queue that never rings.
    if (error == 0) error = sys::ArmTimerfd(timerfd, 0, false);
    if (error < 0) {
      CloseInternal(&timer.source, index);
      return -error;
    }
  }
  // Last: what a call of the axis's former timers still told here is forgotten.
  timer.armed.Reset();
  timer.kind.store(plan.kind, std::memory_order_release);
  return 0;
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
  const KernelTimer& timer = kernel_timers_[index];
  if (timer.relative_on_monotonic.load(std::memory_order_relaxed)) {
    --axes_[kMonotonicAxis].members;
  }
  // A CPU-time clock may be that of a thread that comes and goes, and its alarm
  // counts against RLIMIT_SIGPENDING; a timerfd stays for the next timer.
  if (--axis.members == 0 && timer.kind.load(std::memory_order_relaxed) == AxisKind::kCpuTime) {
    DropAxis(index);
  }
}

void Queue::DropAxis(uint8_t index) {
  CloseSource(index);
  kernel_timers_[index].kind.store(AxisKind::kUnused, std::memory_order_release);
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
    if (made) DropAxis(index);
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
      kernel_timers_[axis].kind.load(std::memory_order_acquire) == AxisKind::kCpuTime;
  inbox_.Mark(memory_->inbox, slot);
  if (deleted_.fetch_add(1, std::memory_order_acq_rel) + 1 < kBacklog && !has_alarm) return;
  Locked locked(lock_);
  DrainInbox();
}

}  // namespace kevent::core
