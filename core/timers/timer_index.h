// SPDX-License-Identifier: MIT
//
// The index of a queue's timers by time: which is due, which comes next.
//
// A timer's setting is in its word (core/timers/setting.h), which armers replace without a lock.
// The index lags behind the words: an armer marks its timer in the inbox, and Drain has the index
// agree with the words of those that are marked.  A timer whose deadline was put off may not be
// marked; the index then has it too early, and moves it when it comes up.  It never has it too
// late.
//
// A queue has an axis for each clock.  The index of one axis has three parts (docs/index.md), and
// a timer is in one of them at most:
//
//   part  what it has                  position_or_next_free  scheduled at
//   heap  what is near                 position plus one      its deadline there, or 0
//   run   what came in order           RunPlace               its deadline there, or 0
//   far   what is not near, in         FarPlace               when the bucket begins
//         buckets by time
//   none  what has no deadline         0                      0
//
// `entry_axis` of its slot says on which axis that is, and `scheduled_at` from when on the index
// looks at it: armers of later deadlines rely on that and do not mark.  What was due when it was
// placed has 0 there.
//
// A deleted timer that the index has no more is released.  What was released, and each axis that
// has no members any more, waits for the queue to take it back: the index knows neither the
// kernel's timers nor the table of slots.
//
// All of it is guarded by the lock of the queue.  So are the members of TimerSlot that say where a
// timer is, from the moment on that the slot has its queue.

#ifndef KEVENT_CORE_TIMERS_TIMER_INDEX_H_
#define KEVENT_CORE_TIMERS_TIMER_INDEX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/timers/axis.h"
#include "core/timers/deadline_heap.h"
#include "core/timers/deadline_run.h"
#include "core/timers/far_index.h"
#include "core/timers/inbox.h"
#include "core/timers/setting.h"
#include "core/timers/slot_table.h"

namespace kevent::core {

// Zeroed memory is an index that has no axis and waits for Init.
class TimerIndex {
 public:
  // The pages of one axis.  A fork wipes their contents, and keeps these pointers to them.
  struct Pages {
    std::atomic<HeapEntry*> entries;  // the heap's, as many as the capacity, and the run's
    std::atomic<FarPages*> far;
    std::atomic<uint32_t> capacity;  // number of timers that they have room for
  };

  // Initialises the index of the queue of this number, with pages for kMaxAxes.
  void Init(uint32_t queue, Pages* pages) {
    queue_ = queue;
    pages_ = pages;
  }

  // ---- Axes and their members ----

  // Forgets all axes.  Requires that there is no timer.
  void CloseAxes() { axis_count_ = 0; }

  // Begins to use an axis, for the first time or for another clock.  If `also_monotonic`, its
  // timers may have deadlines on the monotonic axis too; if `reports_when_empty`, TakeEmptied
  // reports the axis when it has no members any more.
  void OpenAxis(uint8_t axis, bool also_monotonic, bool reports_when_empty);

  // Makes room for one more timer with a deadline on this axis: 0, or an errno if there is no
  // memory.
  int Join(uint8_t axis);
  void Leave(uint8_t axis);

  // Returns an axis that has lost its last member, if OpenAxis asked for that, once for each time;
  // -1: there is none.
  int TakeEmptied();

  uint32_t axis_count() const { return axis_count_; }
  uint32_t members(uint8_t axis) const { return axes_[axis].members; }
  // The number of timers that have joined an axis and not left it, slots in stock included.
  uint32_t timers() const { return timers_; }

  // ---- Following the words ----

  // Has the index agree with the words of all timers that are marked.
  void Drain(Inbox& inbox, InboxDirectory& directory) {
    inbox.Drain(directory, [this](uint32_t slot) { Visit(slot); });
  }

  // Has the index agree with the word of one timer, unless the slot belongs to another queue by
  // now.
  void Visit(uint32_t slot) {
    if (SlotTable::At(slot).queue_link() == queue_ + 1) Reindex(slot);
  }

  // Does what Visit does, for a timer of this queue.
  void Reindex(uint32_t slot);

  // Puts a timer where this deadline, which its word has, belongs on the axis, and says so to
  // armers.
  void Place(uint32_t slot, TimerSlot& timer, uint8_t axis, AxisDeadline deadline);

  // Takes the timer out of the index, as it has no deadline.
  void Remove(TimerSlot& timer);
  // Takes the timer out of the index although it has a deadline, until Visit.
  void Unschedule(TimerSlot& timer) {
    timer.scheduled_at.Clear();
    Remove(timer);
  }

  // ---- Time ----

  // Sets the time of this axis as its clock says; 0: the clock cannot be read, so nothing is due.
  // Called after Drain: then every due timer is near, and LongestDue and CountDue see it.
  void AdvanceTo(uint8_t axis, Nanoseconds now);
  // Says that this collection does not ask for timers of this axis.
  void Skip(uint8_t axis) { axes_[axis].now = 0; }
  // The time as the last collection has read it; 0: it has not.
  Nanoseconds now(uint8_t axis) const { return axes_[axis].now; }

  // ---- Questions ----

  bool empty(uint8_t axis) { return Earliest(axis) == nullptr && far(axis).empty(); }

  // The earliest near entry, or nullptr.  Its word may say another deadline.
  const HeapEntry* Earliest(uint8_t axis) {
    const HeapEntry* const in_run = run(axis).empty() ? nullptr : &run(axis).first();
    if (axes_[axis].heap_size == 0) return in_run;
    const HeapEntry* const in_heap = &heap(axis).top();
    return in_run != nullptr && *in_run < *in_heap ? in_run : in_heap;
  }

  // The earliest entry of all, with which its word agrees, or nullptr.
  const HeapEntry* EarliestAgreed(uint8_t axis);

  // The deadline after that of the earliest entry, with which a word agrees; 0: there is none.
  // Called after EarliestAgreed.
  Nanoseconds SecondAgreed(uint8_t axis);

  // True if the word wants what the entry says.
  static bool Agrees(uint8_t axis, const HeapEntry& entry, AxisDeadline wanted) {
    return wanted.deadline() == entry.deadline() &&
           AxisOf(SlotTable::At(entry.slot()), wanted) == axis;
  }

  // Returns the axis whose earliest entry has been due longest, and how long; or -1.
  int LongestDue(Nanoseconds* late_by) {
    int longest = -1;
    Nanoseconds most = 0;
    uint64_t order = 0;
    for (uint32_t i = 0; i < axis_count_; ++i) {
      const auto axis = static_cast<uint8_t>(i);
      const HeapEntry* const top = Earliest(axis);
      if (top == nullptr || top->deadline() > axes_[i].now) continue;
      const Nanoseconds late = axes_[i].now - top->deadline();
      if (longest < 0 || late > most || (late == most && top->order() < order)) {
        longest = axis;
        most = late;
        order = top->order();
      }
    }
    *late_by = most;
    return longest;
  }

  // True if the timer would be collected, as the clocks were read.
  bool IsDue(uint32_t slot) const {
    const TimerSlot& timer = SlotTable::At(slot);
    const AxisDeadline wanted = timer.word.axis_deadline();
    return wanted.deadline() != 0 && wanted.deadline() <= axes_[AxisOf(timer, wanted)].now;
  }

  // An upper bound for the number of due timers, from the near entries.
  unsigned CountNear();
  // The number of due timers, or `limit` if there are more.
  unsigned CountDue(unsigned limit);

  // The earliest deadline that is still to come; 0: none.
  Nanoseconds NextNotDue(uint8_t axis);

  // ---- What was released ----

  // Slots that nothing of the queue refers to any more, as a chain by position_or_next_free.
  struct Released {
    uint32_t timers;  // number of timers; the chain has those that can be used again
    uint32_t first;   // slot, plus one
    uint32_t last;    // slot, plus one
    uint32_t count;
  };
  bool has_released() const { return released_.timers != 0; }
  Released TakeReleased() {
    CheckIfFew();
    const Released released = released_;
    released_ = {};
    return released;
  }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check() const;
  // In a Debug build, stops the program if an invariant does not hold and timers are few.
  void CheckIfFew() const {
#ifndef NDEBUG
    CheckUnlessMany();
#endif
  }

 private:
  struct Axis {
    uint32_t members;  // number of timers that can have a deadline here
    uint32_t heap_size;
    RunState run;
    FarState far;
    uint32_t far_timers;  // number of timers that say they are in a bucket
    bool also_monotonic;  // its members are members of the monotonic axis too
    bool reports_when_empty;
    bool emptied;          // in the list of axes that are to be reported
    uint8_t next_emptied;  // axis, plus one
    Nanoseconds now;       // as this collection has read it; 0: not read
    Nanoseconds read;      // the last reading
  };

  struct Positions {
    void Moved(uint32_t slot, uint32_t position) const {
      SlotTable::At(slot).position_or_next_free = position + 1;
    }
    void InRun(uint32_t slot, RunPlace place) const {
      SlotTable::At(slot).position_or_next_free = place.bits();
    }
  };
  using Heap = DeadlineHeap<Positions>;
  using Run = DeadlineRun<Positions>;

  // Gives access to the slots' notes of where the timers of an axis are.
  struct Places {
    uint32_t* At(uint32_t slot) const {
      TimerSlot& timer = SlotTable::At(slot);
      if (timer.queue_link() != queue + 1) return nullptr;
      return timer.entry_axis == axis ? &timer.position_or_next_free : nullptr;
    }
    void Prefetch(uint32_t slot) const { __builtin_prefetch(&SlotTable::At(slot), 1); }
    uint32_t queue;
    uint8_t axis;
  };
  using Far = FarIndex<Places>;

  // A longer run is seldom used: more timers than that are seldom in step.
  static constexpr uint32_t RunSize(uint32_t capacity) {
    constexpr uint32_t kMost = 4096;
    return capacity < kMost ? capacity : kMost;
  }
  static constexpr size_t EntryBytes(uint32_t capacity) {
    return size_t{capacity + RunSize(capacity)} * sizeof(HeapEntry);
  }

  Heap heap(uint8_t axis) {
    return {pages_[axis].entries.load(std::memory_order_relaxed), &axes_[axis].heap_size,
            Positions()};
  }
  Run run(uint8_t axis) {
    const uint32_t capacity = pages_[axis].capacity.load(std::memory_order_relaxed);
    return {pages_[axis].entries.load(std::memory_order_relaxed) + capacity, RunSize(capacity),
            &axes_[axis].run, Positions()};
  }
  Far far(uint8_t axis) {
    return {pages_[axis].far.load(std::memory_order_relaxed),
            Far::BlocksFor(pages_[axis].capacity.load(std::memory_order_relaxed)),
            &axes_[axis].far,
            {queue_, axis}};
  }

  // The axis on which a timer has this deadline.
  static uint8_t AxisOf(const TimerSlot& timer, AxisDeadline deadline) {
    return deadline.on_monotonic_axis() ? kMonotonicAxis
                                        : timer.axis.load(std::memory_order_relaxed);
  }

  const HeapEntry* SecondNear(uint8_t axis);

  int Grow(uint8_t axis);
  Nanoseconds PlaceOnAxis(uint32_t slot, TimerSlot& timer, uint8_t axis, Nanoseconds deadline);
  void CascadeUntil(uint8_t axis, Nanoseconds until);
  void ComesNear(uint8_t axis, uint32_t slot);
  void Release(uint32_t slot);

  void CountDueBelow(uint8_t axis, uint32_t position, unsigned limit, unsigned* count);
  Nanoseconds NextOf(uint8_t axis, const HeapEntry& entry) const;
  Nanoseconds NextNotDueBelow(uint8_t axis, uint32_t position);

  void CheckUnlessMany() const;
  const char* CheckAxis(uint8_t axis);
  const char* CheckEntry(uint8_t axis, const HeapEntry& entry, uint32_t position) const;
  const char* CheckReleased() const;

  uint32_t queue_;
  Pages* pages_;
  uint32_t axis_count_;
  uint32_t timers_;
  uint8_t emptied_;  // plus one: the first axis of those that are to be reported
  Released released_;
  Axis axes_[kMaxAxes];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_TIMER_INDEX_H_
