// SPDX-License-Identifier: MIT
//
// The invariants of a TimerIndex.

#include "core/base/invariant.h"
#include "core/timers/far_index_check.h"
#include "core/timers/timer_index.h"

namespace kevent::core {

// To look at each timer after each step would take longer than a test has.
void TimerIndex::CheckUnlessMany() const {
  constexpr uint32_t kFew = 300;
  if (timers_ <= kFew) CheckInDebugBuild(*this);
}

const char* TimerIndex::Check() const {
  // Check only reads, except for marks in slots, which it takes back.
  auto* const self = const_cast<TimerIndex*>(this);
  uint64_t members = 0;
  for (uint32_t i = 0; i < axis_count_; ++i) {
    if (const char* broken = self->CheckAxis(static_cast<uint8_t>(i)); broken != nullptr) {
      return broken;
    }
    if (!axes_[i].also_monotonic) members += axes_[i].members;
  }
  for (uint32_t i = 0; i < axis_count_; ++i) {
    // Members of such an axis count on the monotonic axis too.
    if (axes_[i].also_monotonic && axes_[i].members > axes_[kMonotonicAxis].members) {
      return "an axis has members that the monotonic axis has not";
    }
  }
  if (members != timers_) return "not as many timers are members of axes as there are timers";
  return CheckReleased();
}

const char* TimerIndex::CheckAxis(uint8_t axis) {
  const Axis& checked = axes_[axis];
  if (pages_[axis].capacity.load(std::memory_order_relaxed) == 0) {
    const bool unused = checked.members == 0 && checked.heap_size == 0 && run(axis).empty();
    return unused && far(axis).empty() ? nullptr : "an axis without pages has timers";
  }
  if (checked.members > pages_[axis].capacity.load(std::memory_order_relaxed)) {
    return "an axis has more timers than room";
  }
  if (const char* broken = heap(axis).Check(); broken != nullptr) return broken;
  for (uint32_t i = 0; i < checked.heap_size; ++i) {
    if (const char* broken = CheckEntry(axis, heap(axis).at(i), i + 1); broken != nullptr) {
      return broken;
    }
  }
  uint32_t in_run = 0;
  const char* broken =
      run(axis).Check([this, axis, &in_run](const HeapEntry& entry, RunPlace place) {
        ++in_run;
        return CheckEntry(axis, entry, place.bits());
      });
  if (broken != nullptr) return broken;
  if (checked.heap_size + in_run + checked.far_timers > checked.members) {
    return "more timers are indexed on an axis than it has";
  }
  const Far buckets = far(axis);
  return FarIndexCheck<Places>(buckets)(
      checked.far_timers, [axis](uint32_t slot, Nanoseconds start) -> const char* {
        const AxisDeadline scheduled = SlotTable::At(slot).scheduled_at.load();
        if (AxisOf(SlotTable::At(slot), scheduled) != axis)
          return "a timer in a bucket says another axis";
        return scheduled.deadline() == start ? nullptr
                                             : "a timer in a bucket says another moment than it";
      });
}

const char* TimerIndex::CheckEntry(uint8_t axis, const HeapEntry& entry, uint32_t position) const {
  const TimerSlot& timer = SlotTable::At(entry.slot());
  if (timer.queue_link() != queue_ + 1) return "a timer of another queue is indexed";
  if (timer.entry_axis != axis) return "an indexed timer says another axis";
  if (timer.position_or_next_free != position) return "an indexed timer says another place";
  const AxisDeadline scheduled = timer.scheduled_at.load();
  if (scheduled == AxisDeadline()) return nullptr;
  if (AxisOf(timer, scheduled) != axis)
    return "an indexed timer is to be looked at on another axis";
  // An armer of a later deadline than scheduled_at does not mark.
  if (scheduled.deadline() != entry.deadline()) return "an indexed timer says another deadline";
  return nullptr;
}

const char* TimerIndex::CheckReleased() const {
  uint32_t count = 0;
  uint32_t last = 0;
  for (uint32_t slot = released_.first; slot != 0 && count < released_.count; ++count) {
    if (SlotTable::At(slot - 1).queue.load() != 0) return "a released slot still has a queue";
    last = slot;
    slot = slot == released_.last ? 0 : SlotTable::At(slot - 1).position_or_next_free;
  }
  if (count != released_.count || last != released_.last) {
    return "the chain of released slots has another length";
  }
  if (released_.count > released_.timers) return "more slots than timers were released";

  uint32_t emptied = 0;
  for (uint32_t i = emptied_; i != 0 && emptied <= axis_count_; i = axes_[i - 1].next_emptied) {
    if (!axes_[i - 1].emptied) return "an axis is to be reported and does not say so";
    ++emptied;
  }
  for (uint32_t i = 0; i < axis_count_; ++i) emptied -= axes_[i].emptied ? 1 : 0;
  return emptied == 0 ? nullptr : "an axis says that it is to be reported and is not";
}

}  // namespace kevent::core
