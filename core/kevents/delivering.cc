// SPDX-License-Identifier: MIT
//
// Reporting kevents that are ready: each as one event, after which it stays, pauses or leaves.

#include <absl/base/optimization.h>

#include <algorithm>

#include "core/base/probe.h"
#include "core/kevents/event_set.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

// If completions and kevents both need room, each has half of it.
unsigned EventSet::Deliver(unsigned max, ukevent* events) {
  HarvestInjected();
  if (transfers_.any_news()) HarvestTransfers();
  completions_.Harvest();
  completions_first_ = !completions_first_;
  const unsigned half = max / 2 + (completions_first_ ? max % 2 : 0);
  unsigned count = completions_.Deliver(max - std::min(max - half, ready_.size()), events);
  count += DeliverReady(max - count, events + count);
  return count + completions_.Deliver(max - count, events + count);
}

// If level-triggered and latched kevents both need room, each kind has half of it: the
// level-triggered ones are found after the latched ones, of which there may be any number.
unsigned EventSet::DeliverReady(unsigned max, ukevent* events) {
  const unsigned share =
      ready_.size() > max ? std::min(ready_level_triggered(), LevelShare(max)) : 0;
  unsigned count = 0;
  while (count < max - share && ready_.first() != 0) {
    if (DeliverOne(ready_.first() - 1, &events[count])) ++count;
  }
  if (share != 0) count += DeliverLevelTriggered(max - count, events + count);
  while (count < max && ready_.first() != 0) {
    if (DeliverOne(ready_.first() - 1, &events[count])) ++count;
  }
  return count;
}

// Level-triggered kevents lie at the end of the list, among latched ones that were found with
// them.
unsigned EventSet::DeliverLevelTriggered(unsigned max, ukevent* events) {
  uint32_t link = ready_.last();
  for (unsigned left = ready_level_triggered(); left != 0;) {
    if (At(link - 1).level_triggered && --left == 0) break;
    link = At(link - 1).ready_before;
  }
  unsigned count = 0;
  while (count < max && link != 0 && ready_level_triggered() != 0) {
    const uint32_t number = link - 1;
    link = At(number).ready_after;
    if (At(number).level_triggered && DeliverOne(number, &events[count])) ++count;
  }
  return count;
}

bool EventSet::StillReady(uint32_t number) {
  Kevent& record = At(number);
  const bool check = (record.req_flags & KEVENT_REQ_LAST_CHECK) != 0;
  const bool found_now = record.round == round_ && !record.forced;
  // Of a descriptor that was closed since nothing is reported, neither an edge nor what kevent_ctl
  // has made ready.
  if (!found_now && !record.fd_is_ours && !StillWatches(number)) return false;
  if (record.forced && !check) return !SourceOf(record).was_closed(record);
  return SourceOf(record).deliver(*this, record, check && !found_now);
}

void EventSet::DropVain() {
  uint64_t counted[SourceTable::kTypes] = {};
  for (uint32_t link = ready_.first(); link != 0;) {
    const uint32_t number = link - 1;
    Kevent& record = At(number);
    link = record.ready_after;
    if (!SourceOf(record).counts(*this, number, &counted[record.key.type])) {
      DropOne(number);
    } else if ((record.req_flags & KEVENT_REQ_LAST_CHECK) != 0) {
      record.forced = false;
      record.round = round_;
    }
  }
}

// Withdraws a kevent whose source is no longer ready.  The kernel, which was to tell once, is to
// tell once more.
void EventSet::DropOne(uint32_t number) {
  Kevent& record = At(number);
  Withdraw(number);
  ForgetFound(record);
  if ((record.req_flags & KEVENT_REQ_DISPATCH) != 0 && record.fd >= 0) {
    SourceOf(record).change(*this, number, {});
  }
}

bool EventSet::DeliverOne(uint32_t number, ukevent* event) {
  Kevent& record = At(number);
  if (!StillReady(number)) {
    DropOne(number);
    return false;
  }
  const bool forced = record.forced;
  Withdraw(number);
  record.round = round_;  // if a later harvest of this batch meets it, it was delivered
  Describe(record, event);
  constexpr uint32_t kLast = KEVENT_RET_BROKEN | Kevent::kFoundLast;
  if ((record.req_flags & KEVENT_REQ_ONESHOT) != 0 || (record.found_flags & kLast) != 0 ||
      record.ended) {
    Leave(number);
  } else if ((record.req_flags & KEVENT_REQ_DISPATCH) != 0) {
    Pause(number);
    SourceOf(record).pause(*this, number);
  } else if (ABSL_PREDICT_FALSE(record.fd_is_ours)) {
    // Only a descriptor of the engine's own loses something when its event is delivered.
    if (SourceOf(record).leaves(record, forced)) MakeReady(number, true);
  }
  ForgetFound(record);
  return true;
}

void EventSet::ForgetFound(Kevent& record) {
  record.found_flags = record.found_data[0] = record.found_data[1] = 0;
}

void EventSet::Describe(const Kevent& record, ukevent* event) {
  event->id.raw_u64 = record.key.id;
  event->type = record.key.type;
  event->event = record.event;
  event->req_flags = record.req_flags;
  event->ret_flags = KEVENT_RET_DONE | (record.found_flags & ~Kevent::kFoundLast);
  event->ret_data[0] = record.found_data[0];
  event->ret_data[1] = record.found_data[1];
  event->ptr = reinterpret_cast<void*>(record.key.cookie);
  KEVENT_PROBE(kevent_collected, record.key.type, record.key.id, record.key.cookie);
}

bool EventSet::DeliverTimer(uint32_t number, uint32_t overruns, uint32_t lateness, ukevent* event) {
  Kevent& record = At(number);
  if (record.leaving) return false;  // kevent_ctl(READY) has reported it in this batch
  Withdraw(number);
  record.found_data[0] = overruns;
  record.found_data[1] = lateness;
  Describe(record, event);
  if ((record.req_flags & KEVENT_REQ_ONESHOT) != 0) {
    Leave(number);
  } else if ((record.req_flags & KEVENT_REQ_DISPATCH) != 0) {
    Pause(number);
    SourceOf(record).pause(*this, number);
  }
  ForgetFound(record);
  return true;
}

void EventSet::Leave(uint32_t number) {
  if (At(number).leaving) return;
  Withdraw(number);  // both lists are linked by ready_after
  At(number).leaving = true;
  if (At(number).fd >= 0) ForgetTold(At(number).fd);
  At(number).ready_after = leaving_first_;
  leaving_first_ = number + 1;
}

void EventSet::EndBatch() {
  if (leaving_first_ == 0) return;
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  while (leaving_first_ != 0) {
    const uint32_t number = leaving_first_ - 1;
    leaving_first_ = At(number).ready_after;
    Erase(number);
  }
}

}  // namespace kevent::core
