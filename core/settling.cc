// SPDX-License-Identifier: MIT
//
// The end of a collection: the kernel is told what comes next.

#include <utility>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/system.h"

namespace kevent::core {

// Leaves the descriptor readable if and only if something is due, and the
// kernel's timers no later than the earliest deadlines.  Whether something is
// due.
bool Queue::Settle(bool found_nothing, bool withdrawn) {
  KeventSet* const set = kevents();
  const bool taken = set != nullptr && set->TookAnnouncement();
  for (;;) {
    bool due = set != nullptr && set->kernel_does_not_know();
    for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
      AxisIndex& axis = axes_[i];
      CleanTop(axis);
      const HeapEntry* const top = Top(axis);
      if (top != nullptr && top->deadline() <= axis.now) due = true;
    }
    if (due || exit_requested_.load(std::memory_order_seq_cst)) {
      if (taken) {
        AnnounceToStay();
      } else if (ReadableMembers() == 0) {
        Announce();
      }
      return due;
    }
    if (found_nothing) WithdrawInVain();
    bool relaxed = std::exchange(withdrawn, false);
    if (Withdraw()) relaxed = true;
    for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
      const HeapEntry* const top = Top(axes_[i]);
      const Nanoseconds next = top == nullptr ? 0 : top->deadline();
      if (Rearm(static_cast<uint8_t>(i), next, found_nothing)) relaxed = true;
    }
    // An armer may have relied on what was just withdrawn or put off: it has
    // marked its timer before it looked (model: INBOX_NOT_LOOKED_AT_AGAIN).
    if (!relaxed || !LookAgain()) return false;
    DrainInbox();
  }
}

// Whether something came that nobody has looked at yet.
bool Queue::LookAgain() {
  const KeventSet* const set = kevents();
  return !inbox_.empty() || (set != nullptr && set->anything_new()) ||
         exit_requested_.load(std::memory_order_seq_cst);
}

// Makes a new edge, for what the caller does not get though there is room.
void Queue::AnnounceAnew() {
  Withdraw();
  Announce();
}

// Sets the kernel's timer of this axis to the next deadline, if what it is set
// to has passed or is later.  Otherwise it stays: the kernel waking us in
// vain once is cheaper than telling it of every timer that was put off.  True
// when it was set later.
bool Queue::Rearm(uint8_t index, Nanoseconds next, bool found_nothing) {
  KernelTimer& timer = kernel_timers_[index];
  const uint64_t wanted = Earliness(next);
  const auto passed = [now = axes_[index].now](KernelRegister::State armed) {
    return armed.value() != 0 && DeadlineOf(armed.value()) <= now;
  };
  KernelRegister::State seen = timer.armed.Load();
  bool spent = passed(seen);
  if (timer.alarm_fired.load(std::memory_order_seq_cst) &&
      timer.alarm_fired.exchange(false, std::memory_order_seq_cst)) {
    spent = true;
  }
  if (!spent && found_nothing && seen.value() != 0) spent = ReadableInVain(timer);

  while (spent && !timer.armed.Replace(seen, wanted)) {
    seen = timer.armed.Load();
    spent = passed(seen);
  }
  if (!spent) timer.armed.RaiseTo(wanted);
  if (!timer.armed.Load().told()) TellArmed(timer);
  return spent && wanted < seen.value();
}

// Whether the timerfd is readable though its moment has not come: its clock was
// set.
bool Queue::ReadableInVain(KernelTimer& timer) {
  const AxisKind kind = timer.kind.load(std::memory_order_relaxed);
  if (kind != AxisKind::kSettable && kind != AxisKind::kTai) return false;
  return sys::IsReadable(timer.source.load(std::memory_order_relaxed) - 1);
}

unsigned Queue::ReadableMembers() const {
  const KernelRegister::State announced = announced_.Load();
  unsigned count = announced.value() != 0 && announced.told() ? 1 : 0;
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
    const KernelTimer& timer = kernel_timers_[i];
    const KernelRegister::State armed = timer.armed.Load();
    if (timer.kind.load(std::memory_order_relaxed) != AxisKind::kCpuTime && armed.value() != 0 &&
        armed.told() && DeadlineOf(armed.value()) <= axes_[i].now) {
      ++count;
    }
  }
  return count;
}

}  // namespace kevent::core
