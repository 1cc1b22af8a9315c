// SPDX-License-Identifier: MIT
//
// The index of each axis: a heap of what is near, a run of what came in order,
// buckets for the rest (docs/index.md).  It may lag behind the words; what was armed comes into it
// from the inbox, and what it has too early is moved when it comes up.

#include <algorithm>

#include "core/process.h"
#include "core/queue.h"

namespace kevent::core {

void Queue::DrainInbox() {
  inbox_.Drain(memory_->inbox, [this](uint32_t slot) {
    lock_.AssertHeld();
    Visit(slot);
  });
  FreeReleased();
}

void Queue::Visit(uint32_t slot) {
  TimerSlot& timer = SlotTable::At(slot);
  // Marked by a call that timer_delete and the reuse of the slot overtook.
  if (timer.queue_link() == number_ + 1) Reindex(slot);
}

// Makes the index agree with the word.
void Queue::Reindex(uint32_t slot) {
  TimerSlot& timer = SlotTable::At(slot);
  // From here on armers mark; the word is read after that (model: WORD_IS_READ_FIRST).
  timer.indexed.exchange(0);
  const AxisDeadline wanted = timer.word.axis_deadline();
  if (wanted.deadline() == 0) {
    Unindex(timer);
    if ((timer.queue.load() & TimerSlot::kAbandoned) != 0) Release(slot);
    return;
  }
  const uint8_t index =
      wanted.on_monotonic_axis() ? kMonotonicAxis : timer.axis.load(std::memory_order_relaxed);
  const Nanoseconds from = Place(slot, timer, index, wanted.deadline());
  timer.indexed.exchange(AxisDeadline(from, wanted.on_monotonic_axis()).bits());
}

// Puts a timer into the index of an axis; from when on it is looked at there.
Nanoseconds Queue::Place(uint32_t slot, TimerSlot& timer, uint8_t index, Nanoseconds deadline) {
  // So many are fastest in the heap, whatever their deadlines.
  constexpr uint32_t kFew = 16;
  constexpr Nanoseconds kRunWindow = 4'000'000;

  AxisIndex& axis = axes_[index];
  const uint32_t position = timer.entry_axis == index ? timer.position_or_next_free : 0;
  if (FarPlace::IsOne(position)) {
    // An earlier bucket than it needs to be in will do.
    const Nanoseconds start = far(axis).StartOf(FarPlace(position));
    if (start <= deadline) return start;
  }
  const HeapEntry entry(deadline, timer.arming_order.load(std::memory_order_relaxed), slot);
  // What is later would keep what is not out of the run for long.
  if (deadline <= axis.read + kRunWindow && run(axis).Takes(entry)) {
    Unindex(timer);
    timer.entry_axis = index;
    run(axis).Append(entry);
    return deadline;
  }
  if (axis.heap_size > kFew && far(axis).Takes(deadline)) {
    Unindex(timer);
    timer.entry_axis = index;
    return far(axis).Add(slot, deadline);
  }
  if (position != 0 && !FarPlace::IsOne(position) && !RunPlace::IsOne(position)) {
    heap(axis).Update(position - 1, entry);
  } else {
    Unindex(timer);
    timer.entry_axis = index;
    heap(axis).Push(entry);
  }
  return deadline;
}

void Queue::Unindex(TimerSlot& timer) {
  const uint32_t position = timer.position_or_next_free;
  if (position == 0) return;
  AxisIndex& axis = axes_[timer.entry_axis];
  if (RunPlace::IsOne(position)) {
    run(axis).Remove(RunPlace(position));
  } else if (!FarPlace::IsOne(position)) {
    heap(axis).Remove(position - 1);
  }
  timer.position_or_next_free = 0;
}

// Sees to it that everything up to this moment is in the heap or in the run.
void Queue::BringNear(AxisIndex& axis, Nanoseconds until) {
  while (far(axis).ReachedBy(until)) {
    far(axis).TakeEarliest([this](uint32_t slot) {
      lock_.AssertHeld();
      Reindex(slot);
    });
  }
}

// Time has come so far on this axis.
void Queue::PassTo(AxisIndex& axis, Nanoseconds now) {
  // What lies ahead is prepared in pieces of some microseconds, more for who
  // comes seldom: a piece in 16 us, of which it takes less than one.
  constexpr uint32_t kLeast = 8;
  constexpr Nanoseconds kMost = 256;
  BringNear(axis, now);
  far(axis).PassTo(now);
  const Nanoseconds passed = now < axis.read ? 0 : (now - axis.read) >> 14;
  axis.read = now;
  far(axis).TakeAhead(kLeast + static_cast<uint32_t>(std::min(passed, kMost)),
                      [this](uint32_t slot) {
                        lock_.AssertHeld();
                        Reindex(slot);
                      });
}

// The slot of a deleted timer has left inbox and index: nothing of this queue
// refers to it any more.
void Queue::Release(uint32_t slot) {
  TimerSlot& timer = SlotTable::At(slot);
  LeaveAxes(timer.axis.load(std::memory_order_relaxed));
  --timers_;
  deleted_.fetch_sub(1, std::memory_order_acq_rel);
  timer.queue.exchange(0);
  // Handles have no more generations for it: it is never used again.
  if (timer.life.generation() >= kLastGeneration) return;

  // In order: the inbox is looked through by slot number, and what then comes in
  // order of its deadlines is cheapest to index.
  timer.position_or_next_free = 0;
  if (released_first_ == 0) {
    released_first_ = slot + 1;
  } else {
    SlotTable::At(released_last_ - 1).position_or_next_free = slot + 1;
  }
  released_last_ = slot + 1;
  ++released_count_;
}

void Queue::FreeReleased() {
  if (released_count_ == 0) return;
  Process::slots().Free(released_first_ - 1, released_last_ - 1, released_count_);
  released_first_ = released_last_ = released_count_ = 0;
}

// Whether the word wants what the entry says.
bool Queue::Agrees(const AxisIndex& axis, const HeapEntry& entry, AxisDeadline wanted) const {
  if (wanted.deadline() != entry.deadline()) return false;
  const uint8_t index = wanted.on_monotonic_axis()
                            ? kMonotonicAxis
                            : SlotTable::At(entry.slot()).axis.load(std::memory_order_relaxed);
  return &axis == &axes_[index];
}

bool Queue::Overtaken(const AxisIndex& axis, const HeapEntry& entry) const {
  return !Agrees(axis, entry, SlotTable::At(entry.slot()).word.axis_deadline());
}

// Moves entries that the word has overtaken, until the top is the earliest.
void Queue::CleanTop(AxisIndex& axis) {
  for (;;) {
    const HeapEntry* top;
    while ((top = Top(axis)) != nullptr && Overtaken(axis, *top)) Reindex(top->slot());
    if (!far(axis).ReachedBy(top == nullptr ? kLatest : top->deadline())) return;
    BringNear(axis, far(axis).start());
  }
}

}  // namespace kevent::core
