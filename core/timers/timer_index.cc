// SPDX-License-Identifier: MIT

#include "core/timers/timer_index.h"

#include <algorithm>
#include <utility>

#include "core/system/system.h"

namespace kevent::core {

// ---- Axes -------------------------------------------------------------------

void TimerIndex::OpenAxis(uint8_t axis, bool also_monotonic, bool reports_when_empty) {
  // Entries of timers that were on this axis before may be left.
  if (FarPages* pages = pages_[axis].far.load(std::memory_order_relaxed); pages != nullptr) {
    std::fill_n(pages->heads, FarBucket::kCount, 0);
  }
  Axis& opened = axes_[axis];
  opened.far = {};
  opened.now = 0;  // the last reading was of the axis's former clock
  opened.read = 0;
  opened.also_monotonic = also_monotonic;
  opened.reports_when_empty = reports_when_empty;
  if (axis >= axis_count_) axis_count_ = axis + 1u;
}

int TimerIndex::Join(uint8_t axis) {
  const bool also_monotonic = axes_[axis].also_monotonic;
  int error = Grow(axis);
  if (error == 0 && also_monotonic) error = Grow(kMonotonicAxis);
  ++axes_[axis].members;
  if (also_monotonic) ++axes_[kMonotonicAxis].members;
  ++timers_;
  if (error != 0) Leave(axis);
  return error;
}

void TimerIndex::Leave(uint8_t axis) {
  Axis& left = axes_[axis];
  --timers_;
  if (left.also_monotonic) --axes_[kMonotonicAxis].members;
  if (--left.members != 0 || !left.reports_when_empty || left.emptied) return;
  left.emptied = true;
  left.next_emptied = std::exchange(emptied_, static_cast<uint8_t>(axis + 1));
}

int TimerIndex::TakeEmptied() {
  while (emptied_ != 0) {
    const int axis = emptied_ - 1;
    emptied_ = std::exchange(axes_[axis].next_emptied, 0);
    axes_[axis].emptied = false;
    // Timers may have joined the axis since.
    if (axes_[axis].members == 0) return axis;
  }
  return -1;
}

// Makes room for one more timer.
int TimerIndex::Grow(uint8_t axis) {
  Axis& grown = axes_[axis];
  Pages& pages = pages_[axis];
  const uint32_t capacity = pages.capacity.load(std::memory_order_relaxed);
  if (grown.members != capacity) return 0;
  constexpr uint32_t kFirstCapacity = 256;
  const uint32_t larger = capacity == 0 ? kFirstCapacity : capacity * 2;
  HeapEntry* entries;
  int error = sys::MapPages(EntryBytes(larger), sys::OnFork::kWipe, &entries);
  if (error < 0) return -error;
  FarPages* far_pages;
  error = sys::MapPages(Far::BytesFor(larger), sys::OnFork::kWipe, &far_pages);
  if (error < 0) {
    sys::UnmapPages(entries, EntryBytes(larger));
    return -error;
  }
  HeapEntry* const old = pages.entries.load(std::memory_order_relaxed);
  FarPages* const old_far = pages.far.load(std::memory_order_relaxed);
  if (old != nullptr) {
    std::copy_n(old, grown.heap_size, entries);
    RunState state = {};
    Run larger_run(entries + larger, RunSize(larger), &state, Positions());
    run(axis).ForEach([&larger_run](const HeapEntry& entry) {
      larger_run.Append(entry);
      return true;
    });
    grown.run = state;
    std::copy_n(old_far->heads, FarBucket::kCount, far_pages->heads);
    std::copy_n(old_far->blocks(), grown.far.fresh, far_pages->blocks());
  }
  // The order matters: a child of fork may find the new pages with the old capacity, never the old
  // pages with the new capacity.
  pages.entries.store(entries, std::memory_order_release);
  pages.far.store(far_pages, std::memory_order_release);
  pages.capacity.store(larger, std::memory_order_release);
  if (old != nullptr) {
    sys::UnmapPages(old, EntryBytes(capacity));
    sys::UnmapPages(old_far, Far::BytesFor(capacity));
  }
  return 0;
}

// ---- Following the words ----------------------------------------------------

void TimerIndex::Reindex(uint32_t slot) {
  TimerSlot& timer = SlotTable::At(slot);
  // From here on armers mark; the word is read after that (model: WORD_IS_READ_FIRST).
  timer.scheduled_at.Clear();
  const AxisDeadline wanted = timer.word.axis_deadline();
  if (wanted.deadline() == 0) {
    Remove(timer);
    if ((timer.queue.load() & TimerSlot::kAbandoned) != 0) Release(slot);
    return;
  }
  Place(slot, timer, AxisOf(timer, wanted), wanted);
}

void TimerIndex::Place(uint32_t slot, TimerSlot& timer, uint8_t axis, AxisDeadline deadline) {
  const Nanoseconds from = PlaceOnAxis(slot, timer, axis, deadline.deadline());
  // A timer that is due is looked at in this collection or in one of the next: armers may as well
  // mark it.
  const bool is_near = !FarPlace::IsOne(timer.position_or_next_free);
  if (is_near && deadline.deadline() <= axes_[axis].read) return;
  timer.scheduled_at.Set(AxisDeadline(from, deadline.on_monotonic_axis()));
}

// Places the timer on the axis; returns the moment from which on the index looks at it.
Nanoseconds TimerIndex::PlaceOnAxis(uint32_t slot, TimerSlot& timer, uint8_t axis,
                                    Nanoseconds deadline) {
  // With this few timers the heap is fastest, whatever their deadlines.
  constexpr uint32_t kFew = 16;
  constexpr Nanoseconds kRunWindow = 4'000'000;

  const uint32_t position = timer.entry_axis == axis ? timer.position_or_next_free : 0;
  if (FarPlace::IsOne(position)) {
    // A bucket that is earlier than needed will do.
    const Nanoseconds start = far(axis).StartOf(FarPlace(position));
    if (start <= deadline) return start;
  }
  const HeapEntry entry(deadline, timer.arming_order.load(std::memory_order_relaxed), slot);
  // A later deadline would keep earlier ones out of the run for long.
  if (deadline <= axes_[axis].read + kRunWindow && run(axis).Takes(entry)) {
    Remove(timer);
    timer.entry_axis = axis;
    run(axis).Append(entry);
    return deadline;
  }
  if (axes_[axis].heap_size > kFew && far(axis).Takes(deadline)) {
    Remove(timer);
    timer.entry_axis = axis;
    ++axes_[axis].far_timers;
    return far(axis).Add(slot, deadline);
  }
  if (position != 0 && !FarPlace::IsOne(position) && !RunPlace::IsOne(position)) {
    heap(axis).Update(position - 1, entry);
  } else {
    Remove(timer);
    timer.entry_axis = axis;
    heap(axis).Push(entry);
  }
  return deadline;
}

void TimerIndex::Remove(TimerSlot& timer) {
  const uint32_t position = timer.position_or_next_free;
  if (position == 0) return;
  const uint8_t axis = timer.entry_axis;
  if (RunPlace::IsOne(position)) {
    run(axis).Remove(RunPlace(position));
  } else if (FarPlace::IsOne(position)) {
    --axes_[axis].far_timers;  // its entry is void once the slot does not agree
  } else {
    heap(axis).Remove(position - 1);
  }
  timer.position_or_next_free = 0;
}

// The slot of a deleted timer has left inbox and index: nothing of this queue refers to it any
// more.
void TimerIndex::Release(uint32_t slot) {
  TimerSlot& timer = SlotTable::At(slot);
  Leave(timer.axis.load(std::memory_order_relaxed));
  ++released_.timers;
  timer.queue.exchange(0);
  // The slot is never used again: handles have no more generations for it.
  if (timer.life.generation() >= kLastGeneration) return;

  // The chain is in order of slots: the inbox is looked through by slot number, and timers whose
  // deadlines then come in order are cheapest to index.
  timer.position_or_next_free = 0;
  if (released_.first == 0) {
    released_.first = slot + 1;
  } else {
    SlotTable::At(released_.last - 1).position_or_next_free = slot + 1;
  }
  released_.last = slot + 1;
  ++released_.count;
}

// ---- Time -------------------------------------------------------------------

// Called for each timer of a bucket that is taken apart: the timer has no place until its word is
// followed.
void TimerIndex::ComesNear(uint8_t axis, uint32_t slot) {
  --axes_[axis].far_timers;
  Reindex(slot);
}

// Sees to it that every deadline up to this moment is in the heap or in the run.
void TimerIndex::CascadeUntil(uint8_t axis, Nanoseconds until) {
  while (far(axis).ReachedBy(until)) {
    far(axis).TakeEarliest([this, axis](uint32_t slot) { ComesNear(axis, slot); });
  }
}

void TimerIndex::AdvanceTo(uint8_t axis, Nanoseconds now) {
  // The bucket ahead is prepared in pieces of some microseconds, larger ones if collections are
  // rare: one piece for each 16 us, which takes less than one.
  constexpr uint32_t kLeast = 8;
  constexpr Nanoseconds kMost = 256;
  Axis& advanced = axes_[axis];
  advanced.now = now;
  CascadeUntil(axis, now);
  far(axis).AdvanceTo(now);
  const Nanoseconds passed = now < advanced.read ? 0 : (now - advanced.read) >> 14;
  advanced.read = now;
  far(axis).TakeAhead(kLeast + static_cast<uint32_t>(std::min(passed, kMost)),
                      [this, axis](uint32_t slot) { ComesNear(axis, slot); });
}

// ---- Questions --------------------------------------------------------------

const HeapEntry* TimerIndex::EarliestAgreed(uint8_t axis) {
  for (;;) {
    const HeapEntry* top;
    while ((top = Earliest(axis)) != nullptr &&
           !Agrees(axis, *top, SlotTable::At(top->slot()).word.axis_deadline())) {
      Reindex(top->slot());
    }
    if (!far(axis).ReachedBy(top == nullptr ? kLatest : top->deadline())) return top;
    CascadeUntil(axis, far(axis).start());
  }
}

// The near entry after the earliest one, or nullptr.
const HeapEntry* TimerIndex::SecondNear(uint8_t axis) {
  const Heap heap = this->heap(axis);
  Run run = this->run(axis);
  const auto earlier = [](const HeapEntry* a, const HeapEntry* b) {
    return a == nullptr || (b != nullptr && *b < *a) ? b : a;
  };
  const HeapEntry* const in_heap = heap.empty() ? nullptr : &heap.top();
  const HeapEntry* const in_run = run.empty() ? nullptr : &run.first();
  if (in_run != nullptr && earlier(in_heap, in_run) == in_run)
    return earlier(in_heap, run.Second());
  return earlier(heap.Second(), in_run);
}

Nanoseconds TimerIndex::SecondAgreed(uint8_t axis) {
  for (;;) {
    const HeapEntry* second;
    while ((second = SecondNear(axis)) != nullptr &&
           !Agrees(axis, *second, SlotTable::At(second->slot()).word.axis_deadline())) {
      Reindex(second->slot());
    }
    const Nanoseconds deadline = second == nullptr ? 0 : second->deadline();
    if (!far(axis).ReachedBy(deadline == 0 ? kLatest : deadline)) return deadline;
    CascadeUntil(axis, far(axis).start());
  }
}

unsigned TimerIndex::CountNear() {
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count_; ++i) {
    count += axes_[i].heap_size + run(static_cast<uint8_t>(i)).size();
  }
  return count;
}

unsigned TimerIndex::CountDue(unsigned limit) {
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count_; ++i) {
    const auto axis = static_cast<uint8_t>(i);
    if (axes_[i].heap_size != 0) CountDueBelow(axis, 0, limit, &count);
    run(axis).ForEach([this, i, limit, &count](const HeapEntry& entry) {
      if (count >= limit || entry.deadline() > axes_[i].now) return false;
      if (IsDue(entry.slot())) ++count;
      return true;
    });
  }
  return count;
}

void TimerIndex::CountDueBelow(uint8_t axis, uint32_t position, unsigned limit, unsigned* count) {
  const HeapEntry& entry = heap(axis).at(position);
  if (*count >= limit || entry.deadline() > axes_[axis].now) return;
  // IsDue asks the word: an entry whose timer was put off, to a moment that has come too, stays
  // where it is while others are above it.
  if (IsDue(entry.slot())) ++*count;
  const uint32_t child = Heap::FirstChild(position);
  for (uint32_t i = child; i < child + Heap::kArity && i < axes_[axis].heap_size; ++i) {
    CountDueBelow(axis, i, limit, count);
  }
}

Nanoseconds TimerIndex::NextNotDue(uint8_t axis) {
  for (;;) {
    Nanoseconds next = NextNotDueBelow(axis, 0);
    run(axis).ForEach([this, axis, &next](const HeapEntry& entry) {
      const Nanoseconds its = NextOf(axis, entry);
      if (its != 0 && (next == 0 || its < next)) next = its;
      return entry.deadline() <= axes_[axis].now;
    });
    if (!far(axis).ReachedBy(next == 0 ? kLatest : next)) return next;
    CascadeUntil(axis, far(axis).start());
  }
}

// The deadline to come that an entry or its word has; 0: none.
Nanoseconds TimerIndex::NextOf(uint8_t axis, const HeapEntry& entry) const {
  const Nanoseconds now = axes_[axis].now;
  if (entry.deadline() > now) return entry.deadline();
  const AxisDeadline wanted = SlotTable::At(entry.slot()).word.axis_deadline();
  return wanted.deadline() > now ? wanted.deadline() : 0;  // overtaken: its entry may be elsewhere
}

// The earliest deadline to come in one subtree of the heap; 0: none.
Nanoseconds TimerIndex::NextNotDueBelow(uint8_t axis, uint32_t position) {
  if (position >= axes_[axis].heap_size) return 0;
  const HeapEntry& entry = heap(axis).at(position);
  Nanoseconds next = NextOf(axis, entry);
  if (entry.deadline() > axes_[axis].now) return next;
  const uint32_t child = Heap::FirstChild(position);
  for (uint32_t i = child; i < child + Heap::kArity; ++i) {
    const Nanoseconds below = NextNotDueBelow(axis, i);
    if (below != 0 && (next == 0 || below < next)) next = below;
  }
  return next;
}

}  // namespace kevent::core
