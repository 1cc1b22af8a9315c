// SPDX-License-Identifier: MIT

#include "core/queue/collector.h"

#include <absl/base/optimization.h>

#include <algorithm>
#include <utility>

#include "core/base/probe.h"
#include "core/system/system.h"

namespace kevent::core {

unsigned Queue::Collect(unsigned min, unsigned max, ukevent* events, unsigned* due) {
  return Collector(*this).Collect(min, max, events, due);
}

unsigned Collector::Collect(unsigned min, unsigned max, ukevent* events, unsigned* due) {
  queue_.lock_.AssertHeld();  // as the constructor requires
  queue_.DrainInbox();
  ReadClocks();
  *due = 0;
  if (kevents_ != nullptr) {
    queue_.kevents_first_ = !queue_.kevents_first_;
    // A call that wants one event and finds none sleeps in a poll of the queue's epoll; one that
    // wants more may hold, and be woken by edges alone.
    kevents_->BeginBatch(min == 1);
    if (min <= 1 && kevents_->watches()) TakeAndAsk(max, events);
  }
  if (min > 1) Count(min, max, due);
  bool left;
  do {
    if (enough_) Take(max, events);
    // Timers were set again meanwhile, or kevents are not ready any more, so there is room left.
    while (more_ && enough_ && claimed_ < max) {
      more_ = kevents_->HarvestMore(max - claimed_);
      Take(max, events);
    }
    left = Settle();
    // A timer is left that was armed meanwhile, by a thread that saw the queue readable and did
    // nothing more.  It goes with this batch: a caller that gets less than it asked for takes the
    // queue for empty, and if edge-triggered waits for the next edge.
  } while (left && enough_ && claimed_ < max && !out_of_order_);
  const bool unfinished = kevents_ != nullptr && kevents_->transfers().TakeUnfinished();
  // A call without room for events (Queue::LookAnew) leaves transfers to others.
  const bool leaves_transfers = unfinished && (claimed_ < max || max == 0);
  if (leaves_transfers || (left && out_of_order_ && claimed_ < max)) queue_.AnnounceAnew();
  if (kevents_ != nullptr) kevents_->EndBatch();
  queue_.TakeBackReleased();
  index_.CheckIfFew();
  return claimed_;
}

// ---- Taking -----------------------------------------------------------------

// Takes timers, up to their share of the batch, then asks the kernel which kevents are ready.
void Collector::TakeAndAsk(unsigned max, ukevent* events) {
  const unsigned timers = max - ShareOfKevents(max);
  claimed_ = ClaimTimers(timers, events);
  const unsigned wanted = max - claimed_;
  if (claimed_ < timers || index_.CountNear() <= wanted) {
    // Everything that is due will be taken: in the end the announcement would be withdrawn.
    withdrawn_ = queue_.doorbell_.WithdrawBy([this, wanted] {
      more_ = kevents_->Harvest(wanted);
      return kevents_->TookAnnouncement();
    });
  } else {
    more_ = kevents_->Harvest(wanted);
  }
  claimed_ += kevents_->Deliver(max - claimed_, events + claimed_);
}

// Finds out if at least `min` are due.
void Collector::Count(unsigned min, unsigned max, unsigned* due) {
  const unsigned timers = index_.CountDue(std::max(min, max));
  *due = timers;
  if (kevents_ != nullptr) {
    more_ = kevents_->Harvest(kevents_->watches() ? RoomForKevents(min, max, timers) : 0);
    CountKevents(min - std::min(timers, min));
    *due += kevents_->ready_count();
  }
  enough_ = *due >= min;
}

// Leaves only those kevents ready that will be reported, `wanted` of them if there are.
void Collector::CountKevents(unsigned wanted) {
  kevents_->DropVain();
  while (more_ && kevents_->ready_count() < wanted) {
    more_ = kevents_->HarvestMore(wanted);
    kevents_->DropVain();
  }
}

unsigned Collector::ShareOfKevents(unsigned max) const {
  return max / 2 + (queue_.kevents_first_ ? max % 2 : 0);
}

// The number of kevents that Take will want, and no more than it needs to reach `min`.
unsigned Collector::RoomForKevents(unsigned min, unsigned max, unsigned timers) const {
  const unsigned share = ShareOfKevents(max);
  return std::max(max - std::min(timers, max - share), min - std::min(timers, min));
}

// Fills the batch up with timers and other kevents; if both need the room, each has half of it.
void Collector::Take(unsigned max, ukevent* events) {
  const unsigned room = max - claimed_;
  if (kevents_ != nullptr && room != 0) {
    const unsigned share = std::min(ShareOfKevents(room), kevents_->ready_count());
    claimed_ += ClaimTimers(room - share, events + claimed_);
    claimed_ += kevents_->Deliver(max - claimed_, events + claimed_);
  }
  claimed_ += ClaimTimers(max - claimed_, events + claimed_);
}

unsigned Collector::ClaimTimers(unsigned max, ukevent* events) {
  unsigned count = 0;
  while (count < max) {
    Nanoseconds late;
    const int axis = index_.LongestDue(&late);
    if (axis < 0) break;
    if (late > last_late_) {
      out_of_order_ = true;
      break;
    }
    if (Claim(static_cast<uint8_t>(axis), &events[count])) {
      last_late_ = late;
      ++count;
    }
  }
  return count;
}

// ---- Clocks -----------------------------------------------------------------

namespace {

// Reads a clock that is a constant apart from CLOCK_MONOTONIC until it is set, at the moment that
// is `monotonic_now` there; never later.  Deadlines on both clocks are put in one order.  A plain
// reading would come some time after that of the other clock, a long time if the thread is
// preempted, so the distance of the two clocks is measured.
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

void Collector::ReadClocks() {
  const Nanoseconds monotonic_now = sys::MonotonicNow();
  for (uint32_t i = 0; i < index_.axis_count(); ++i) {
    const auto axis = static_cast<uint8_t>(i);
    KernelTimer& timer = queue_.doorbell_.timer(axis);
    index_.Skip(axis);
    if (index_.empty(axis) && timer.armed.Load().value() == 0) continue;
    const clockid_t clock = timer.clock.load(std::memory_order_relaxed);
    Nanoseconds now = 0;
    int error = 0;
    if (axis == kMonotonicAxis) {
      now = monotonic_now;
    } else if (timer.relative_on_monotonic.load(std::memory_order_relaxed)) {
      error = ReadBesideMonotonic(clock, monotonic_now, &now);
    } else {
      error = sys::Now(clock, &now);
    }
    // The CPU time of a thread that has ended cannot be read: nothing is due.
    if (error != 0 || timer.HasComeForAnother(now)) now = 0;
    index_.AdvanceTo(axis, now);
  }
}

// ---- Claiming -----------------------------------------------------------------

namespace {

// timer_getoverrun saturates at DELAYTIMER_MAX, INT_MAX on Linux.
constexpr uint64_t kDelayTimerMax = INT32_MAX;

uint32_t Saturate(uint64_t value, uint64_t limit) {
  return static_cast<uint32_t>(value < limit ? value : limit);
}

}  // namespace

// Delivers the top entry, which is due, unless its word says otherwise.
bool Collector::Claim(uint8_t axis, ukevent* event) {
  const HeapEntry entry = *index_.Earliest(axis);
  const Nanoseconds now = index_.now(axis);
  TimerSlot& timer = SlotTable::At(entry.slot());
  PackedSetting word = timer.word.Guess();
  Setting setting = word.Unpack();
  const uint32_t generation = timer.life.generation();
  if (generation % 2 == 0) {
    // timer_delete is between its two steps, perhaps for long: do the second step for it, rather
    // than meet this entry again and again.
    timer.word.Swap(word, PackedSetting(Disarmed(setting)));
    index_.Reindex(entry.slot());
    return false;
  }
  if (!TimerIndex::Agrees(axis, entry, AxisDeadline(word.low()))) {
    index_.Reindex(entry.slot());
    return false;
  }
  const bool of_kevent = (timer.queue.load() & TimerSlot::kOfKevent) != 0;
  if (ABSL_PREDICT_FALSE(of_kevent) &&
      kevents_->IsPaused(static_cast<uint32_t>(timer.cookie.load(std::memory_order_relaxed)))) {
    // The call that has paused it has set it as well, and marked that afterwards.
    index_.Unschedule(timer);
    return false;
  }
  const Expirations expired = ExpirationsAt(setting, now);
  // The number is read before the swap: a setting that comes after it has another number.
  const uint32_t setting_number = timer.life.setting();
  const uint64_t cookie = timer.cookie.load(std::memory_order_relaxed);

  setting.deadline = expired.next;
  const PackedSetting claimed(setting);
  timer.scheduled_at.ClearBeforeSwap();
  // The swap fails if settime or delete came first (model: CLAIM_DOES_NOT_COMPARE).
  if (!timer.word.Swap(word, claimed)) {
    index_.Reindex(entry.slot());
    return false;
  }
  const uint32_t overruns = Saturate(expired.overruns, kDelayTimerMax);
  timer.frozen_overruns.store(uint64_t{setting_number} << 32 | overruns, std::memory_order_release);
  if (expired.next == 0) {
    index_.Remove(timer);
  } else {
    index_.Place(entry.slot(), timer, axis, AxisDeadline(expired.next, setting.on_monotonic_axis));
  }

  const uint32_t lateness = Saturate(now - expired.last, UINT32_MAX);
  KEVENT_PROBE(timer_collected, entry.slot(), generation, overruns, lateness);
  if (ABSL_PREDICT_FALSE(of_kevent)) {
    return kevents_->DeliverTimer(static_cast<uint32_t>(cookie), overruns, lateness, event);
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

// ---- Settling -----------------------------------------------------------------

// True if something came that no collector has looked at yet.
bool Queue::LookAgain() {
  const EventSet* const set = kevents();
  return !inbox_.empty() || (set != nullptr && set->anything_new()) || doorbell_.exit_requested();
}

// Makes a new edge, for events that the caller does not get though there is room.
void Queue::AnnounceAnew() {
  doorbell_.Withdraw(EpollMembers());
  doorbell_.Announce();
}

unsigned Queue::ReadableMembers() const {
  lock_.AssertHeld();
  unsigned count = doorbell_.IsAnnounced() ? 1 : 0;
  for (uint32_t i = 0; i < doorbell_.timer_count(); ++i) {
    const auto axis = static_cast<uint8_t>(i);
    if (doorbell_.timer(axis).IsReadable(index_.now(axis))) ++count;
  }
  if (doorbell_.second_timer().HasCome(index_.now(kMonotonicAxis))) ++count;
  return count;
}

Doorbell::Members Queue::EpollMembers() const {
  const EventSet* const set = kevents();
  return set != nullptr && set->watches() ? Doorbell::Members::kOthers : Doorbell::Members::kOwn;
}

// Leaves the descriptor readable if and only if something is due, and the kernel's timers no later
// than the earliest deadlines.  True if something is due.
bool Collector::Settle() {
  const bool found_nothing = claimed_ == 0;
  // A harvest may have withdrawn the announcement (model: WITHDRAWAL_IS_FORGOTTEN).
  bool withdrawn = std::exchange(withdrawn_, false);
  const bool taken = kevents_ != nullptr && kevents_->TookAnnouncement();
  for (;;) {
    bool due = kevents_ != nullptr && kevents_->kernel_does_not_know();
    for (uint32_t i = 0; i < index_.axis_count(); ++i) {
      const auto axis = static_cast<uint8_t>(i);
      const HeapEntry* const top = index_.EarliestAgreed(axis);
      if (top != nullptr && top->deadline() <= index_.now(axis)) due = true;
    }
    if (due || queue_.doorbell_.exit_requested()) {
      if (taken) {
        queue_.doorbell_.AnnounceToStay();
      } else if (queue_.ReadableMembers() == 0) {
        queue_.doorbell_.Announce();
      }
      return due;
    }
    if (found_nothing) queue_.doorbell_.WithdrawInVain(queue_.EpollMembers());
    bool relaxed = std::exchange(withdrawn, false);
    if (queue_.doorbell_.Withdraw(queue_.EpollMembers())) relaxed = true;
    for (uint32_t i = 0; i < index_.axis_count(); ++i) {
      const auto axis = static_cast<uint8_t>(i);
      const HeapEntry* const top = index_.Earliest(axis);
      NextDeadlines next = {top == nullptr ? 0 : top->deadline(), 0};
      const Nanoseconds now = index_.now(axis);
      if (queue_.doorbell_.UsesSecondDeadline(axis, next.first, now)) {
        next.second = index_.SecondAgreed(axis);
      }
      if (queue_.doorbell_.Rearm(axis, next, now, found_nothing)) relaxed = true;
    }
    // An armer may have relied on an announcement or deadline that was just withdrawn or put off:
    // it has marked its timer before it looked (model: INBOX_NOT_LOOKED_AT_AGAIN).
    if (!relaxed || !queue_.LookAgain()) return false;
    queue_.DrainInbox();
  }
}

}  // namespace kevent::core
