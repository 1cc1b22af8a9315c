// SPDX-License-Identifier: MIT
//
// Finding out which kevents are ready, by asking the kernel about the descriptors that
// are watched.

#include <absl/base/optimization.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "core/kevents/epoll_members.h"
#include "core/kevents/event_set.h"
#include "core/kevents/source.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

void EventSet::BeginBatch(bool sleeps_after) {
  sleeps_after_ = sleeps_after;
  // Level-triggered kevents that were ready and were not collected are asked again.  They came
  // last, so they are at the end of the list, however long it is.
  for (uint32_t link = ready_.last(); ready_level_triggered() != 0;) {
    const uint32_t number = link - 1;
    link = At(number).ready_before;
    if (!At(number).level_triggered) continue;
    Withdraw(number);
    ForgetFound(At(number));
  }
  HarvestInjected();
  transfers_.BeginBatch();
  if (transfers_.any_news()) HarvestTransfers();
  completions_.Harvest();
  ++round_;
  exhausted_ = begun_ = 0;
  level_first_ = !level_first_;
  signals_pending_ = 0;
}

bool EventSet::Harvest(unsigned wanted) {
  if (waited_for_ != 0) HarvestSignals();
  const unsigned half = wanted / 2 + (completions_first_ ? 0 : wanted % 2);
  return HarvestMore(wanted - std::min(half, completions_.count()));
}

// The epolls have their turns one after the other, each until every ready member of it was found
// once, however many collections that takes: so each kevent is found as often as any other,
// whichever epoll it is in.
bool EventSet::HarvestMore(unsigned wanted) {
  if (wanted == 0 || watched_ == 0) return watched_ != 0;
  if (!transfers_.any()) return HarvestEpolls(wanted);
  // A handler that closes a socket would wait for the transfer that it has interrupted.
  const SignalsBlocked blocked;
  const bool more = HarvestEpolls(wanted);
  completions_.Harvest();
  return more;
}

bool EventSet::HarvestEpolls(unsigned wanted) {
  while (Missing(wanted) != 0) {
    if (IsExhausted(turn_)) {
      if (turn_ == 0 && (overflows_to_harvest_ & ~exhausted_) == 0) return false;
    } else if (!HarvestEpoll(turn_, wanted)) {
      break;
    }
    if (IsExhausted(turn_)) overflows_to_harvest_ &= ~(1u << turn_);
    do {
      turn_ = (turn_ + 1) % (overflow_count_ + 1);
    } while (turn_ != 0 && (overflows_to_harvest_ & 1u << turn_) == 0);
  }
  return ready_.size() >= wanted;
}

// Members without a record, in one harvest of one epoll.
struct EventSet::UnknownMembers {
  unsigned nameless;  // the engine's own
  unsigned named;
  uint64_t mark;  // the first, second, fourth, eighth ... of the named, in turn
  bool come_round;
};

// Takes members until `wanted` kevents are found, or a member comes a second time, which ends the
// turn: level-triggered members that are ready come round again and again, as the kernel puts them
// at the end of its list.  A call that finds nothing new does not end the turn, since any number of
// members may have nothing to say: duplicates of others, ready already, of files that outlived
// their descriptors.  No more are taken than are wanted: a kevent that is taken and not collected
// has lost its turn.  True if the turn is over.
bool EventSet::HarvestEpoll(uint32_t epoll_index, unsigned wanted) {
  constexpr unsigned kBatch = 256;
  const unsigned others = epoll_index == 0 ? queue_->ReadableMembers() : 0;
  epoll_event found[kBatch];
  UnknownMembers unknown = {};
  const uint32_t turn = turns_[epoll_index];
  while (const unsigned missing = Missing(wanted)) {
    const unsigned most = transfers_.any() ? transfers_.together() : kBatch;
    const unsigned room = std::min(missing + others, most);
    const int count = TakeReady(epoll_index, found, room);
    if (count < static_cast<int>(room)) exhausted_ |= 1u << epoll_index;
    for (int i = 0; i < count; ++i) {
      if (WaitsForNextTurn(epoll_index, turn, found[i].data.u64, &unknown)) continue;
      Found(found[i].data.u64, found[i].events);
    }
    const bool turned = turns_[epoll_index] != turn;
    if (unknown.come_round && !turned) exhausted_ |= 1u << epoll_index;
    if (IsExhausted(epoll_index) && !turned) ++turns_[epoll_index];
    if (IsExhausted(epoll_index) || turned) return true;
    // A search for level-triggered kevents does not take any number of edges.
    if (ready_.size() >= wanted) return false;
    if (transfers_.is_full()) {
      transfers_.LeaveUnfinished();
      return false;
    }
  }
  return false;
}

// epoll may miss a member that is ready while another thread polls.  If no sleep follows that would
// find it, poll makes sure that there is none, since it looks at the kernel's list under its lock.
// kTries misses in a row do not come about; the bound is for a kernel whose poll and epoll do not
// agree.
int EventSet::TakeReady(uint32_t epoll_index, epoll_event* found, unsigned room) const {
  constexpr int kTries = 8;
  int count = sys::EpollTake(EpollAt(epoll_index), found, room);
  if (ABSL_PREDICT_TRUE(count != 0 || sleeps_after_ || !sys::EpollTakeMayMiss())) return count;
  for (int left = kTries; count == 0 && left != 0 && sys::IsReadable(EpollAt(epoll_index));
       --left) {
    count = sys::EpollTake(EpollAt(epoll_index), found, room);
  }
  return count;
}

bool EventSet::IsOverflowEpoll(uint64_t token) { return token >> 32 == kOverflowToken; }

// Called when a harvest has met this member in this turn of its epoll.  If the member was met
// before, the turn ends; if that turn has begun in this batch, the batch has met every ready
// member.  True if the member waits until other epolls have had their turns.
bool EventSet::WaitsForNextTurn(uint32_t epoll_index, uint32_t turn, uint64_t token,
                                UnknownMembers* unknown) {
  const uint32_t bit = 1u << epoll_index;
  if (token == kAnnouncedOnce) return false;
  if (token == 0 || token == kAnnounced) {
    if (++unknown->nameless > queue_->own_members()) unknown->come_round = true;
    return false;
  }
  const auto generation = static_cast<uint32_t>(token >> 32);
  Kevent* record = table_.Find(static_cast<uint32_t>(token), generation);
  if (record != nullptr && generation % 2 != 0) {
    const bool again = record->met == turn + 1;
    if (again && turns_[epoll_index] == turn) {
      if ((begun_ & bit) != 0) exhausted_ |= bit;
      begun_ |= bit;
      ++turns_[epoll_index];
    }
    // The kernel does not tell of an edge a second time.
    if (again && !IsLatched(*record) && overflow_count_ != 0 && !IsExhausted(epoll_index))
      return true;
    record->met = (again ? turns_[epoll_index] : turn) + 1;
    return false;
  }
  // The mark is set anew from time to time, as the marked member may cease to be ready.
  if (unknown->named != 0 && token == unknown->mark) unknown->come_round = true;
  const unsigned before = unknown->named++;
  if ((before & unknown->named) == 0) unknown->mark = token;
  return false;
}

void EventSet::Found(uint64_t token, uint32_t events) {
  const auto number = static_cast<uint32_t>(token);
  const auto generation = static_cast<uint32_t>(token >> 32);
  if (IsOverflowEpoll(token)) {
    overflows_to_harvest_ |= 1u << number;
    return;
  }
  if (generation == kSharedToken) {
    const Source* const source = SourceOf(number);
    if (source != nullptr) source->harvest_shared(*this);
    return;
  }
  if (token == kAnnouncedOnce) {
    took_announcement_ = true;
    return;
  }
  Kevent* record = table_.Find(number, generation);
  // A member without a record is the engine's, or of a file that outlived its descriptor.
  if (record == nullptr || generation % 2 == 0) return;
  record->silenced = (record->req_flags & KEVENT_REQ_DISPATCH) != 0;
  // The kevent was reported for the last time, and this event is for other kevents; or it is
  // paused, and this is a hang-up, of which epoll tells unasked.
  if (record->leaving || record->paused) return;
  const bool level_triggered = !IsLatched(*record);
  // This batch has delivered the kevent already.
  if (level_triggered && record->round == round_ && !record->ready) return;
  if (!SourceOf(*record).harvest(*this, *record, events)) return;
  // A kevent that pauses is told each time that it goes on, whichever others there are.
  constexpr uint32_t kEdgeOrPause = KEVENT_REQ_ET | KEVENT_REQ_DISPATCH;
  if (overflow_count_ != 0 && (record->req_flags & kEdgeOrPause) == KEVENT_REQ_ET) {
    // Records before this one were told, and their edges met, if told_to_others is set.
    const bool alone =
        record->told_to_others == 0 && (record->req_flags & KEVENT_REQ_WAKEUP_ALL) == 0;
    if (IsFinal(events)) {
      record->told_to_others = 0;
    } else {
      if (IsDuplicate(number)) return;
      SuppressDuplicates(*record, alone);
    }
  }
  record->round = round_;
  MakeReady(number, level_triggered);
}

// After these events comes nothing of which others could be told instead.
bool EventSet::IsFinal(uint32_t epoll_events) {
  return (epoll_events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0;
}

// One activity of a source makes the first of the edge-triggered kevents ready that wait for it,
// and of the others those with KEVENT_REQ_WAKEUP_ALL.
bool EventSet::IsDuplicate(uint32_t number) {
  Kevent& record = At(number);
  if ((record.req_flags & KEVENT_REQ_WAKEUP_ALL) != 0 || record.fd < 0) return false;
  const uint32_t told = std::exchange(record.told_to_others, 0);
  if (told != 0 && (record.found_data[0] & ~told) == 0) return true;
  for (uint32_t link = table_.WatchersOf(record.fd); link != 0;) {
    const Kevent& other = At(link - 1);
    const bool earlier = other.epoll_index < record.epoll_index;
    const bool met_before = other.ready && other.round == round_ &&
                            (earlier || (other.req_flags & KEVENT_REQ_WAKEUP_ALL) == 0);
    if (link != number + 1 && met_before && (other.req_flags & KEVENT_REQ_ET) != 0 &&
        other.key.type == record.key.type && (record.found_data[0] & ~other.event) == 0) {
      return true;
    }
    link = other.same_descriptor;
  }
  return false;
}

// A later harvest may meet, by another record, an edge of the activity of which `first` is told
// now.  As a rule that record is in an overflow epoll, or comes before one whose epoll was met
// first.
void EventSet::SuppressDuplicates(const Kevent& first, bool alone) {
  if (first.fd < 0) return;
  for (uint32_t link = table_.WatchersOf(first.fd); link != 0;) {
    Kevent& other = At(link - 1);
    link = other.same_descriptor;
    if ((other.epoll_index > first.epoll_index ||
         (alone && other.epoll_index < first.epoll_index)) &&
        other.key.type == first.key.type && (other.req_flags & KEVENT_REQ_ET) != 0 &&
        !other.ready) {
      other.told_to_others = first.event;
    }
  }
}

}  // namespace kevent::core
