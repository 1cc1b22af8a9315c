// SPDX-License-Identifier: MIT
//
// Finding out which kevents are ready: what the kernel has to say of the
// descriptors that are watched.

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/source.h"
#include "core/system.h"
#include "core/watching.h"

namespace kevent::core {

void KeventSet::BeginBatch() {
  // What was ready by level and was not collected: it is asked again.  It came
  // last, so the end of the list has it, however long the list is.
  for (uint32_t link = ready_last_; ready_by_level() != 0;) {
    const uint32_t number = link - 1;
    link = At(number).ready_before;
    if (!At(number).by_level) continue;
    Withdraw(number);
    ForgetFound(At(number));
  }
  HarvestInjected();
  completions_.Harvest();
  ++round_;
  layers_to_harvest_ = 0;
}

bool KeventSet::Harvest(unsigned wanted) {
  const unsigned half = wanted / 2 + (completions_first_ ? 0 : wanted % 2);
  return HarvestMore(wanted - std::min(half, completions_.count()));
}

bool KeventSet::HarvestMore(unsigned wanted) {
  if (wanted == 0 || watched_ == 0) return watched_ != 0;
  HarvestEpoll(queue_->epoll(), wanted);
  for (uint32_t layer = 1; layer <= layer_count_; ++layer) {
    if (ready_count_ >= wanted) break;
    if ((layers_to_harvest_ & 1u << layer) != 0) HarvestEpoll(Epoll(layer), wanted);
  }
  return ready_count_ >= wanted;
}

// Members that are no records, in one harvest of one epoll.
struct KeventSet::Strangers {
  unsigned nameless;  // the engine's own
  unsigned named;
  uint64_t mark;  // one of the named: each first, second, fourth, eighth ... in turn
};

// What is ready by level comes round again and again, as the kernel puts it at the
// end of its list: until so many are found, or a member comes a second time.  Not
// until one call finds nothing new, since members without number may have nothing
// to say: shadowed by others, ready already, of files that outlived their
// descriptors.  Nor more than wanted: what is not collected has lost its turn.
void KeventSet::HarvestEpoll(int epoll, unsigned wanted) {
  constexpr unsigned kBatch = 256;
  const unsigned others = epoll == queue_->epoll() ? queue_->ReadableMembers() : 0;
  epoll_event found[kBatch];
  Strangers strangers = {};
  for (bool over = false; !over;) {
    const unsigned missing = wanted > ready_count_ ? wanted - ready_count_ : 0;
    const unsigned room = std::clamp(missing + others, 1u, kBatch);
    const int count = sys::EpollTake(epoll, found, room);
    over = count < static_cast<int>(room);
    uint32_t layers = 0;
    for (int i = 0; i < count; ++i) {
      if (ComesRound(found[i].data.u64, &strangers)) over = true;
      if (IsLayer(found[i].data.u64)) layers |= 1u << static_cast<uint32_t>(found[i].data.u64);
      Found(found[i].data.u64, found[i].events);
    }
    // A layer comes round as a member does, and one of its own takes the place.
    // It comes after the others, which as a rule are the first on their descriptor.
    for (uint32_t layer = 1; layers >> layer != 0; ++layer) {
      if ((layers & 1u << layer) != 0 && ready_count_ < wanted) {
        HarvestEpoll(Epoll(layer), ready_count_ + 1);
      }
    }
    if (ready_count_ >= wanted) over = true;
  }
}

bool KeventSet::IsLayer(uint64_t token) { return token >> 32 == kLayerToken; }

// Whether a harvest meets a member that it has met before.
bool KeventSet::ComesRound(uint64_t token, Strangers* strangers) {
  if (token == kAnnouncedOnce) return false;
  if (token == 0 || token == kAnnounced) {
    return ++strangers->nameless > queue_->axis_count() + 1;
  }
  const auto generation = static_cast<uint32_t>(token >> 32);
  Kevent* record = table_.Find(static_cast<uint32_t>(token), generation);
  if (record != nullptr && generation % 2 != 0) {
    const bool again = record->met == round_;
    record->met = round_;
    return again;
  }
  // Marked anew from time to time, as it may cease to be ready.
  if (strangers->named != 0 && token == strangers->mark) return true;
  const unsigned before = strangers->named++;
  if ((before & strangers->named) == 0) strangers->mark = token;
  return false;
}

void KeventSet::Found(uint64_t token, uint32_t events) {
  const auto number = static_cast<uint32_t>(token);
  const auto generation = static_cast<uint32_t>(token >> 32);
  if (IsLayer(token)) {
    layers_to_harvest_ |= 1u << number;
    return;
  }
  if (generation == kInotifyToken) return HarvestInotify(*this);
  if (token == kAnnouncedOnce) {
    took_announcement_ = true;
    return;
  }
  Kevent* record = table_.Find(number, generation);
  // None: of the engine, or of a file that outlived its descriptor.
  if (record == nullptr || generation % 2 == 0) return;
  // Reported for the last time: what happens now is for the others.
  if (record->leaving) return;
  const bool by_level = (record->req_flags & KEVENT_REQ_ET) == 0;
  // It has been in this batch.
  if (by_level && record->round == round_ && !record->ready) return;
  if (!SourceOf(record->key.type)->harvest(*this, *record, events)) return;
  // Those before it were told, and their edges met, if that has set anything.
  const bool alone =
      !by_level && record->told_to_others == 0 && (record->req_flags & KEVENT_REQ_WAKEUP_ALL) == 0;
  if (layer_count_ != 0 && Shadowed(number)) return;
  record->round = round_;
  if (layer_count_ != 0) Shadow(*record, alone);
  MakeReady(number, by_level);
}

// One activity of a source makes the first of its kevents ready that wait for
// it, and of the others those that ask for that.
bool KeventSet::Shadowed(uint32_t number) {
  Kevent& record = At(number);
  if ((record.req_flags & KEVENT_REQ_WAKEUP_ALL) != 0 || record.fd < 0) return false;
  const uint32_t told = std::exchange(record.told_to_others, 0);
  if (told != 0 && (record.found_data[0] & ~told) == 0) return true;
  for (uint32_t link = table_.WatchersOf(record.fd); link != 0;) {
    const Kevent& other = At(link - 1);
    const bool earlier = other.layer < record.layer;
    // By level an earlier one is ready as well, if it was not met yet.
    const bool ready_too = earlier && !other.leaving && (other.req_flags & KEVENT_REQ_ET) == 0;
    const bool met_before = other.ready && other.round == round_ &&
                            (earlier || (other.req_flags & KEVENT_REQ_WAKEUP_ALL) == 0);
    if (link != number + 1 && (ready_too || met_before) && other.key.type == record.key.type &&
        (record.found_data[0] & ~other.event) == 0) {
      return true;
    }
    link = other.same_descriptor;
  }
  return false;
}

// An edge that a later harvest meets may be of what was told to the first now.  As a
// rule that is in a layer, or before one whose layer was met first.
void KeventSet::Shadow(const Kevent& first, bool alone) {
  if (first.fd < 0) return;
  for (uint32_t link = table_.WatchersOf(first.fd); link != 0;) {
    Kevent& other = At(link - 1);
    link = other.same_descriptor;
    if ((other.layer > first.layer || (alone && other.layer < first.layer)) &&
        other.key.type == first.key.type && (other.req_flags & KEVENT_REQ_ET) != 0 &&
        !other.ready) {
      other.told_to_others = first.event;
    }
  }
}

}  // namespace kevent::core
