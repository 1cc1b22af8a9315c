// SPDX-License-Identifier: MIT
//
// Collecting: under the queue's lock, what is due is claimed by swapping its
// word.

#include <absl/base/optimization.h>

#include <algorithm>
#include <utility>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/system.h"

namespace kevent::core {
namespace {

// timer_getoverrun saturates at DELAYTIMER_MAX, INT_MAX on Linux.
constexpr uint64_t kDelayTimerMax = INT32_MAX;

uint32_t Saturate(uint64_t value, uint64_t limit) {
  return static_cast<uint32_t>(value < limit ? value : limit);
}

}  // namespace

// What has come of a collection before it settles.
struct Queue::Batch {
  unsigned claimed = 0;
  bool enough = true;
  bool more = false;       // the kernel may have more that is ready
  bool withdrawn = false;  // the announcement was
};

// Takes up to `max` completions when at least `min` are due; *due is how many
// are, exactly if they are fewer than `min`.
unsigned Queue::Collect(unsigned min, unsigned max, ukevent* events, unsigned* due) {
  DrainInbox();
  ReadClocks();
  batch_late_ = kLatest;
  out_of_order_ = false;
  *due = 0;
  KeventSet* const set = kevents();
  Batch batch;
  if (set != nullptr) {
    kevents_first_ = !kevents_first_;
    // A call that wants one event and finds none sleeps in a poll of the queue's epoll; one that
    // wants more may hold, and be woken by edges alone.
    set->BeginBatch(min == 1);
    if (min <= 1 && set->watches()) batch = TakeAndAsk(max, events, set);
  }
  if (min > 1) batch = Count(min, max, set, due);
  bool left;
  do {
    if (batch.enough) batch.claimed += Take(max - batch.claimed, events + batch.claimed, set);
    // Timers were set again meanwhile, or kevents are ready no more.
    while (batch.more && batch.enough && batch.claimed < max) {
      batch.more = set->HarvestMore(max - batch.claimed);
      batch.claimed += Take(max - batch.claimed, events + batch.claimed, set);
    }
    // (model: WITHDRAWAL_IS_FORGOTTEN)
    left = Settle(batch.claimed == 0, std::exchange(batch.withdrawn, false));
    // Armed meanwhile, by a thread that saw the queue readable and left it at
    // that.  It goes with this batch: who gets less than it asked for takes the
    // queue for empty, and if edge-triggered waits for the next edge.
  } while (left && batch.enough && batch.claimed < max && !out_of_order_);
  if (left && out_of_order_ && batch.claimed < max) AnnounceAnew();
  if (set != nullptr) set->EndBatch();
  FreeReleased();
  return batch.claimed;
}

// Takes the timers that there is room for beside other kevents, then asks the
// kernel what else is ready.
Queue::Batch Queue::TakeAndAsk(unsigned max, ukevent* events, KeventSet* set) {
  Batch batch;
  const unsigned timers = max - ShareOfKevents(max);
  batch.claimed = ClaimTimers(timers, events);
  const unsigned wanted = max - batch.claimed;
  if (batch.claimed < timers || NearTimers() <= wanted) {
    // All will be taken that are due: in the end the announcement would be withdrawn.
    batch.withdrawn = doorbell_.WithdrawBy([set, wanted, &batch] {
      batch.more = set->Harvest(wanted);
      return set->TookAnnouncement();
    });
  } else {
    batch.more = set->Harvest(wanted);
  }
  batch.claimed += set->Deliver(max - batch.claimed, events + batch.claimed);
  return batch;
}

// Finds out whether so many are due.
Queue::Batch Queue::Count(unsigned min, unsigned max, KeventSet* set, unsigned* due) {
  Batch batch;
  const unsigned timers = CountDue(std::max(min, max));
  *due = timers;
  if (set != nullptr) {
    batch.more = set->Harvest(set->watches() ? RoomForKevents(min, max, timers) : 0);
    batch.more = CountKevents(min - std::min(timers, min), batch.more, set);
    *due += set->ready_count();
  }
  batch.enough = *due >= min;
  return batch;
}

// Timers and other kevents, each with half of the room if both need it.
unsigned Queue::Take(unsigned max, ukevent* events, KeventSet* set) {
  if (set == nullptr || max == 0) return ClaimTimers(max, events);
  unsigned count = ClaimTimers(max - std::min(ShareOfKevents(max), set->ready_count()), events);
  count += set->Deliver(max - count, events + count);
  return count + ClaimTimers(max - count, events + count);
}

unsigned Queue::ShareOfKevents(unsigned max) const {
  return max / 2 + (kevents_first_ ? max % 2 : 0);
}

// Leaves only those ready that will be reported, so many if there are.  Whether
// there may be more.
bool Queue::CountKevents(unsigned wanted, bool more, KeventSet* set) {
  set->DropVain();
  while (more && set->ready_count() < wanted) {
    more = set->HarvestMore(wanted);
    set->DropVain();
  }
  return more;
}

// How many kevents Take will want, and no more than it needs to reach `min`.
unsigned Queue::RoomForKevents(unsigned min, unsigned max, unsigned timers) const {
  const unsigned share = ShareOfKevents(max);
  return std::max(max - std::min(timers, max - share), min - std::min(timers, min));
}

unsigned Queue::ClaimTimers(unsigned max, ukevent* events) {
  unsigned count = 0;
  while (count < max) {
    Nanoseconds late;
    AxisIndex* axis = LongestDue(&late);
    if (axis == nullptr) break;
    if (late > batch_late_) {
      out_of_order_ = true;
      break;
    }
    if (Claim(*axis, &events[count])) {
      batch_late_ = late;
      ++count;
    }
  }
  return count;
}

// ---- Claiming -----------------------------------------------------------------

namespace {

// A clock that is a constant apart from CLOCK_MONOTONIC until somebody sets it, at the
// moment that is `monotonic_now` there; never later.  Deadlines on both are put in one
// order, so it is not read some time after the other clock, which may be long when the
// thread is preempted, but the distance of the two is measured.
int ReadBesideMonotonic(clockid_t clock, Nanoseconds monotonic_now, Nanoseconds* now) {
  constexpr Nanoseconds kClose = 100;  // two readings without a preemption in between
  constexpr int kTries = 4;
  Nanoseconds closest = kLatest;
  for (int i = 0; i < kTries && closest > kClose; ++i) {
    const Nanoseconds before = sys::MonotonicNow();
    Nanoseconds there;
    if (const int error = sys::Now(clock, &there); error != 0) return error;
    const Nanoseconds after = sys::MonotonicNow();
    if (after - before >= closest) continue;
    closest = after - before;
    *now = there - (after - monotonic_now);
  }
  return 0;
}

}  // namespace

void Queue::ReadClocks() {
  const Nanoseconds monotonic_now = sys::MonotonicNow();
  for (uint32_t i = 0; i < axis_count(); ++i) {
    AxisIndex& axis = axes_[i];
    KernelTimer& timer = doorbell_.timer(static_cast<uint8_t>(i));
    axis.now = 0;
    if (Top(axis) == nullptr && far(axis).empty() && timer.armed.Load().value() == 0) continue;
    const clockid_t clock = timer.clock.load(std::memory_order_relaxed);
    int error = 0;
    if (i == kMonotonicAxis) {
      axis.now = monotonic_now;
    } else if (timer.relative_on_monotonic.load(std::memory_order_relaxed)) {
      error = ReadBesideMonotonic(clock, monotonic_now, &axis.now);
    } else {
      error = sys::Now(clock, &axis.now);
    }
    // The CPU time of a thread that has gone cannot be read: nothing is due.
    if (error != 0 || timer.HasComeForAnother(axis.now)) {
      axis.now = 0;
    }
    PassTo(axis, axis.now);
  }
}

// The axis whose earliest entry has been due longest, and how long; or nullptr.
AxisIndex* Queue::LongestDue(Nanoseconds* late_by) {
  AxisIndex* longest = nullptr;
  Nanoseconds most = 0;
  uint64_t order = 0;
  for (uint32_t i = 0; i < axis_count(); ++i) {
    AxisIndex& axis = axes_[i];
    const HeapEntry* const top = Top(axis);
    if (top == nullptr || top->deadline() > axis.now) continue;
    const Nanoseconds late = axis.now - top->deadline();
    if (longest == nullptr || late > most || (late == most && top->order() < order)) {
      longest = &axis;
      most = late;
      order = top->order();
    }
  }
  *late_by = most;
  return longest;
}

// Delivers the top entry, which is due, unless its word says otherwise.
bool Queue::Claim(AxisIndex& axis, ukevent* event) {
  const HeapEntry entry = *Top(axis);
  TimerSlot& timer = SlotTable::At(entry.slot());
  PackedSetting word = timer.word.Guess();
  Setting setting = word.Unpack();
  const uint32_t generation = timer.life.generation();
  if (generation % 2 == 0) {
    // timer_delete is between its two steps, perhaps for long: help it with the
    // second rather than meet this entry again and again.
    timer.word.Swap(word, PackedSetting(Disarmed(setting)));
    Reindex(entry.slot());
    return false;
  }
  if (!Agrees(axis, entry, AxisDeadline(word.low()))) {
    Reindex(entry.slot());
    return false;
  }
  const Expirations expired = ExpirationsAt(setting, axis.now);
  // Read before the swap: a setting that comes after it has another number.
  const uint32_t setting_number = timer.life.setting();
  const uint64_t cookie = timer.cookie.load(std::memory_order_relaxed);

  setting.deadline = expired.next;
  if (expired.next == 0) setting.interval = 0;
  const PackedSetting claimed(setting);
  // Before the swap: an armer that comes after it marks.
  timer.indexed.exchange(0);
  // Fails when settime or delete came first (model: CLAIM_DOES_NOT_COMPARE).
  if (!timer.word.Swap(word, claimed)) {
    Reindex(entry.slot());
    return false;
  }
  const uint32_t overruns = Saturate(expired.overruns, kDelayTimerMax);
  timer.frozen_overruns.store(uint64_t{setting_number} << 32 | overruns, std::memory_order_seq_cst);
  if (expired.next == 0) {
    Unindex(timer);
  } else {
    const Nanoseconds from = Place(entry.slot(), timer, timer.entry_axis, expired.next);
    timer.indexed.exchange(AxisDeadline(from, setting.on_monotonic_axis).bits());
  }

  const uint32_t lateness = Saturate(axis.now - expired.last, UINT32_MAX);
  if (ABSL_PREDICT_FALSE((timer.queue.load() & TimerSlot::kOfKevent) != 0)) {
    return kevents()->DeliverTimer(static_cast<uint32_t>(cookie), overruns, lateness, event);
  }
  *event = {};
  event->id.raw_u64 = Handle(entry.slot(), generation).bits();
  event->type = KEVENT_POSIX_TIMER;
  event->event = KEVENT_TIMER_FIRED;
  event->ret_flags = KEVENT_RET_DONE;
  event->ret_data[0] = overruns;
  event->ret_data[1] = lateness;
  event->ptr = reinterpret_cast<void*>(cookie);
  return true;
}

// No fewer than are due.
unsigned Queue::NearTimers() {
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count(); ++i) {
    count += axes_[i].heap_size + run(axes_[i]).size();
  }
  return count;
}

unsigned Queue::CountDue(unsigned limit) {
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count(); ++i) {
    AxisIndex& axis = axes_[i];
    if (axis.heap_size != 0) CountDueBelow(axis, 0, limit, &count);
    run(axis).ForEach([this, &axis, limit, &count](const HeapEntry& entry) {
      if (count >= limit || entry.deadline() > axis.now) return false;
      if (IsDue(entry.slot())) ++count;
      return true;
    });
  }
  return count;
}

bool Queue::IsDue(uint32_t slot) const {
  const TimerSlot& timer = SlotTable::At(slot);
  const AxisDeadline wanted = timer.word.axis_deadline();
  const uint8_t index =
      wanted.on_monotonic_axis() ? kMonotonicAxis : timer.axis.load(std::memory_order_relaxed);
  return wanted.deadline() != 0 && wanted.deadline() <= axes_[index].now;
}

void Queue::CountDueBelow(AxisIndex& axis, uint32_t position, unsigned limit, unsigned* count) {
  const HeapEntry& entry = heap(axis).at(position);
  if (*count >= limit || entry.deadline() > axis.now) return;
  // By the word: an entry whose timer was put off, to a moment that has come
  // too, stays where it is while others are above it.
  if (IsDue(entry.slot())) ++*count;
  const uint32_t child = Heap::FirstChild(position);
  for (uint32_t i = child; i < child + Heap::kArity && i < axis.heap_size; ++i) {
    CountDueBelow(axis, i, limit, count);
  }
}

// The earliest deadline that is still to come; 0: none.
Nanoseconds Queue::NextNotDue(AxisIndex& axis) {
  for (;;) {
    Nanoseconds next = NextNotDueBelow(axis, 0);
    run(axis).ForEach([&axis, &next](const HeapEntry& entry) {
      const Nanoseconds its = NextOf(axis, entry);
      if (its != 0 && (next == 0 || its < next)) next = its;
      return entry.deadline() <= axis.now;
    });
    if (!far(axis).ReachedBy(next == 0 ? kLatest : next)) return next;
    BringNear(axis, far(axis).start());
  }
}

// What an entry says of it; 0: nothing.
Nanoseconds Queue::NextOf(const AxisIndex& axis, const HeapEntry& entry) {
  if (entry.deadline() > axis.now) return entry.deadline();
  const AxisDeadline wanted = SlotTable::At(entry.slot()).word.axis_deadline();
  return wanted.deadline() > axis.now ? wanted.deadline() : 0;  // overtaken: may be elsewhere
}

// The same in one subtree of the heap.
Nanoseconds Queue::NextNotDueBelow(AxisIndex& axis, uint32_t position) {
  if (position >= axis.heap_size) return 0;
  const HeapEntry& entry = heap(axis).at(position);
  Nanoseconds next = NextOf(axis, entry);
  if (entry.deadline() > axis.now) return next;
  const uint32_t child = Heap::FirstChild(position);
  for (uint32_t i = child; i < child + Heap::kArity; ++i) {
    const Nanoseconds below = NextNotDueBelow(axis, i);
    if (below != 0 && (next == 0 || below < next)) next = below;
  }
  return next;
}

}  // namespace kevent::core
