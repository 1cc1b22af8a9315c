// SPDX-License-Identifier: MIT

#include "core/kevent_set.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/queue.h"
#include "core/signals_blocked.h"
#include "core/system.h"
#include "core/watching.h"

namespace kevent::core {

// ---- Life ---------------------------------------------------------------------

int KeventSet::Open(Queue* queue, KeventPages* pages) {
  queue_ = queue;
  table_.Init(pages);
  table_lock_.Init();
  const int edges = Adopt(sys::CreateEpoll());
  if (edges < 0) return -edges;
  edges_.store(edges + 1, std::memory_order_release);
  open_.store(true, std::memory_order_seq_cst);
  return 0;
}

// The descriptors were closed with the queue.
void KeventSet::Clear() {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  TakeInjected();
  completions_.Clear();
  table_.ForEach([this](uint32_t number) {
    Kevent& record = At(number);
    Withdraw(number);
    if (record.fd >= 0) UnlinkWatcher(number);
    if (record.key.type == KEVENT_TIMER) SourceOf(KEVENT_TIMER)->detach(*this, number);
    table_.Erase(number);
  });
  std::fill_n(watches_, kWatches, 0);
  std::fill_n(layers_, kMaxLayers, 0);
  layer_count_ = leaving_first_ = watched_ = nested_ = 0;
  edges_.store(0, std::memory_order_relaxed);
  edges_watched_ = false;
  inotify_.store(0, std::memory_order_relaxed);
  open_.store(false, std::memory_order_seq_cst);
}

void KeventSet::Erase(uint32_t number) {
  Kevent& record = At(number);
  if (record.injected) TakeInjected();
  Withdraw(number);
  SourceOf(record.key.type)->detach(*this, number);
  table_.Erase(number);
}

// ---- Edges --------------------------------------------------------------------

constexpr uint32_t kEdges = EPOLLIN | EPOLLET;

// Only while somebody sleeps on them: each would cost every event a second
// wake-up in the kernel.
int KeventSet::WatchEdges() {
  if (edges_watched_) return 0;
  const int error = nested_ != 0 ? sys::EpollModify(edges(), queue_->epoll(), kEdges)
                                 : sys::EpollAdd(edges(), queue_->epoll(), kEdges);
  edges_watched_ = error == 0;
  return error;
}

void KeventSet::TakeEdges() {
  epoll_event edge;
  if (edges_watched_) sys::EpollTake(edges(), &edge, 1);
}

void KeventSet::IgnoreEdges() {
  if (!edges_watched_) return;
  edges_watched_ = false;
  KeepRoom();
}

// The kernel nests epolls five deep.  With one inside the queue's, its place
// inside the edges is kept, so that whoever has to sleep on them can.
int KeventSet::Nest(uint32_t number) {
  At(number).nests = true;
  ++nested_;
  return KeepRoom();
}

void KeventSet::Unnest(uint32_t number) {
  if (!At(number).nests) return;
  At(number).nests = false;
  --nested_;
  KeepRoom();
}

// Taken out and put in again, since only then does every kernel count.
int KeventSet::KeepRoom() {
  sys::EpollDelete(edges(), queue_->epoll());
  if (nested_ == 0 && !edges_watched_) return 0;
  return sys::EpollAdd(edges(), queue_->epoll(), edges_watched_ ? kEdges : 0);
}

// ---- The list of the ready ------------------------------------------------------

void KeventSet::MakeReady(uint32_t number, bool by_level) {
  Kevent& record = At(number);
  if (record.leaving) return;
  if (record.ready) {
    if (record.by_level && !by_level) {
      record.by_level = false;
      ++unlevelled_count_;
    }
    return;
  }
  record.ready = true;
  record.by_level = by_level;
  record.ready_before = ready_last_;
  record.ready_after = 0;
  (ready_last_ == 0 ? ready_first_ : At(ready_last_ - 1).ready_after) = number + 1;
  ready_last_ = number + 1;
  ++ready_count_;
  if (!by_level) ++unlevelled_count_;
}

void KeventSet::Withdraw(uint32_t number) {
  Kevent& record = At(number);
  record.forced = false;
  if (!record.ready) return;
  record.ready = false;
  (record.ready_before == 0 ? ready_first_ : At(record.ready_before - 1).ready_after) =
      record.ready_after;
  (record.ready_after == 0 ? ready_last_ : At(record.ready_after - 1).ready_before) =
      record.ready_before;
  --ready_count_;
  if (!record.by_level) --unlevelled_count_;
}

// ---- Injecting ------------------------------------------------------------------

bool KeventSet::Inject(const KeventKey& key) {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  const uint32_t link = table_.Find(key);
  if (link == 0) return false;
  Kevent& record = At(link - 1);
  if (record.injected) return true;
  record.injected = true;
  record.injected_after = 0;
  if (injected_last_ != 0) At(injected_last_ - 1).injected_after = link;
  injected_last_ = link;
  if (injected_.load(std::memory_order_relaxed) == 0) {
    injected_.store(link, std::memory_order_seq_cst);
  }
  return true;
}

void KeventSet::HarvestInjected() {
  if (injected_.load(std::memory_order_seq_cst) == 0) return;
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  TakeInjected();
}

void KeventSet::TakeInjected() {
  uint32_t link = injected_.exchange(0, std::memory_order_seq_cst);
  injected_last_ = 0;
  while (link != 0) {
    Kevent& record = At(link - 1);
    MakeReady(link - 1, false);
    record.forced = true;
    record.injected = false;
    link = record.injected_after;
  }
}

// ---- Harvesting -------------------------------------------------------------------

bool KeventSet::Harvest(unsigned wanted) {
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
  const unsigned half = wanted / 2 + (completions_first_ ? 0 : wanted % 2);
  return HarvestMore(wanted - std::min(half, completions_.count()));
}

bool KeventSet::HarvestMore(unsigned wanted) {
  if (wanted == 0 || watched_ == 0) return watched_ != 0;
  layers_to_harvest_ = 0;
  HarvestEpoll(queue_->epoll(), wanted);
  for (uint32_t layer = 1; layer <= layer_count_; ++layer) {
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
    for (int i = 0; i < count; ++i) {
      if (ComesRound(found[i].data.u64, &strangers)) over = true;
      Found(found[i].data.u64, found[i].events);
    }
    if (ready_count_ >= wanted) over = true;
  }
}

// Whether a harvest meets a member that it has met before.
bool KeventSet::ComesRound(uint64_t token, Strangers* strangers) {
  if (token == 0) return ++strangers->nameless > queue_->axis_count() + 1;
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
  if (generation == kLayerToken) {
    layers_to_harvest_ |= 1u << number;
    return;
  }
  if (generation == kInotifyToken) return HarvestInotify(*this);
  Kevent* record = table_.Find(number, generation);
  // None: of the engine, or of a file that outlived its descriptor.
  if (record == nullptr || generation % 2 == 0) return;
  const bool by_level = (record->req_flags & KEVENT_REQ_ET) == 0;
  // It has been in this batch.
  if (by_level && record->round == round_ && !record->ready) return;
  if (!SourceOf(record->key.type)->harvest(*this, *record, events)) return;
  if (layer_count_ != 0 && Shadowed(number)) return;
  record->round = round_;
  if (layer_count_ != 0) Shadow(*record);
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
    if (link != number + 1 && other.ready && other.round == round_ &&
        other.key.type == record.key.type && (record.found_data[0] & ~other.event) == 0) {
      return true;
    }
    link = other.same_descriptor;
  }
  return false;
}

// An edge that a later harvest meets may be of what was told to the first now.
// Layers come after the queue's own epoll.
void KeventSet::Shadow(const Kevent& first) {
  if (first.fd < 0) return;
  for (uint32_t link = table_.WatchersOf(first.fd); link != 0;) {
    Kevent& other = At(link - 1);
    link = other.same_descriptor;
    if (other.layer > first.layer && other.key.type == first.key.type &&
        (other.req_flags & KEVENT_REQ_ET) != 0 && !other.ready) {
      other.told_to_others = first.event;
    }
  }
}

// ---- Delivering -------------------------------------------------------------------

// Completions and kevents, each with half of the room if both need it.
unsigned KeventSet::Deliver(unsigned max, ukevent* events) {
  HarvestInjected();
  completions_.Harvest();
  completions_first_ = !completions_first_;
  const unsigned half = max / 2 + (completions_first_ ? max % 2 : 0);
  unsigned count = completions_.Deliver(max - std::min(max - half, ready_count_), events);
  count += DeliverReady(max - count, events + count);
  return count + completions_.Deliver(max - count, events + count);
}

unsigned KeventSet::DeliverReady(unsigned max, ukevent* events) {
  unsigned count = 0;
  while (count < max && ready_first_ != 0) {
    if (DeliverFirst(&events[count])) ++count;
  }
  return count;
}

bool KeventSet::DeliverFirst(ukevent* event) {
  const uint32_t number = ready_first_ - 1;
  Kevent& record = At(number);
  const bool forced = record.forced;
  const bool check = (record.req_flags & KEVENT_REQ_LAST_CHECK) != 0;
  Withdraw(number);
  const auto deliver = SourceOf(record.key.type)->deliver;
  if (deliver != nullptr && (!forced || check) &&
      !deliver(*this, record, check && (forced || record.round != round_))) {
    return false;
  }
  Describe(record, event);
  constexpr uint32_t kLast = KEVENT_RET_BROKEN;
  if ((record.req_flags & KEVENT_REQ_ONESHOT) != 0 || (record.found_flags & kLast) != 0 ||
      record.ended) {
    Leave(number);
  }
  ForgetFound(record);
  return true;
}

void KeventSet::ForgetFound(Kevent& record) {
  record.found_flags = record.found_data[0] = record.found_data[1] = 0;
}

void KeventSet::Describe(const Kevent& record, ukevent* event) {
  event->id.raw_u64 =
      record.key.type == KEVENT_MQ ? static_cast<uint32_t>(record.key.id) : record.key.id;
  event->type = record.key.type;
  event->event = record.event;
  event->req_flags = record.req_flags;
  event->ret_flags = KEVENT_RET_DONE | record.found_flags;
  event->ret_data[0] = record.found_data[0];
  event->ret_data[1] = record.found_data[1];
  event->ptr = reinterpret_cast<void*>(record.key.cookie);
}

bool KeventSet::DeliverTimer(uint32_t number, uint32_t overruns, uint32_t lateness,
                             ukevent* event) {
  Kevent& record = At(number);
  if (record.leaving) return false;  // by kevent_ctl(READY), in this batch
  Withdraw(number);
  record.found_data[0] = overruns;
  record.found_data[1] = lateness;
  Describe(record, event);
  if ((record.req_flags & KEVENT_REQ_ONESHOT) != 0) Leave(number);
  ForgetFound(record);
  return true;
}

void KeventSet::Leave(uint32_t number) {
  if (At(number).leaving) return;
  At(number).leaving = true;
  At(number).ready_after = leaving_first_;
  leaving_first_ = number + 1;
}

void KeventSet::EndBatch() {
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
