// SPDX-License-Identifier: MIT

#include "core/kevents/event_set.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

// ---- Life ---------------------------------------------------------------------

int EventSet::Open(KeventHost* queue, KeventPages* pages) {
  queue_ = queue;
  table_.Init(pages);
  table_lock_.Init();
  const int edges = Adopt(sys::CreateEpoll);
  if (edges < 0) return -edges;
  edges_.store(edges + 1, std::memory_order_release);
  open_.store(true, std::memory_order_seq_cst);
  return 0;
}

// The descriptors were closed with the queue, so only the records' other belongings are
// given back.
void EventSet::Clear() {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  TakeInjected();
  ForgetReaders();
  table_.ForEach([this](uint32_t number) {
    Kevent& record = At(number);
    Withdraw(number);
    if (record.fd >= 0) UnlinkWatcher(number);
    SourceOf(record).forget(*this, number);
    table_.Erase(number);
  });
  table_.ForgetWatches();
  std::fill_n(overflow_epolls_, kMaxOverflowEpolls, 0);
  overflow_count_ = leaving_first_ = watched_ = nested_ = 0;
  turn_ = overflows_to_harvest_ = 0;
  edges_.store(0, std::memory_order_relaxed);
  edges_watched_ = took_announcement_ = false;
  std::fill_n(shared_, SourceTable::kTypes, 0);
  signals_.store(0, std::memory_order_relaxed);
  waited_for_ = signals_pending_ = let_through_ = 0;
  std::fill_n(signal_first_, 64, 0);
  message_first_ = 0;
  transfers_.sockets_.store(0, std::memory_order_relaxed);
  transfers_.first_socket_ = 0;
  transfers_.TakeLost([](int) {});
  transfers_.told_by_edges_.store(false, std::memory_order_relaxed);
  open_.store(false, std::memory_order_seq_cst);
}

void EventSet::Erase(uint32_t number) {
  Kevent& record = At(number);
  if (record.injected) TakeInjected();
  TakeBack(number);
  SourceOf(record).detach(*this, number);
  table_.Erase(number);
}

// The record's descriptor is no longer in its epoll.
void EventSet::EraseStale(uint32_t number) {
  UnlinkWatcher(number);
  Erase(number);
}

void EventSet::TakeBack(uint32_t number) {
  const Kevent& record = At(number);
  if (record.ready && !record.level_triggered) took_back_ = true;
  Withdraw(number);
}

// ---- Edges --------------------------------------------------------------------

constexpr uint32_t kEdges = EPOLLIN | EPOLLET;

// The edges are watched only while a thread sleeps on them, since they cost every event a
// second wake-up in the kernel.
int EventSet::WatchEdges() {
  if (edges_watched_) return 0;
  const int error =
      nested_ != 0 ? PutIntoEdges(kEdges) : sys::EpollAdd(edges(), queue_->epoll(), kEdges);
  edges_watched_ = error == 0;
  return error;
}

void EventSet::TakeEdges() {
  epoll_event edge;
  if (edges_watched_) sys::EpollTake(edges(), &edge, 1);
}

void EventSet::IgnoreEdges() {
  if (!edges_watched_) return;
  edges_watched_ = false;
  KeepRoom();
}

// The kernel nests epolls five deep.  While an epoll is inside the queue's, the queue's epoll stays
// a member of the edges, so that a thread that has to sleep on them can.
int EventSet::Nest(uint32_t number) {
  At(number).nests = true;
  ++nested_;
  // The member is taken out and put in again, since some kernels count the depth only then.
  sys::EpollDelete(edges(), queue_->epoll());
  return KeepRoom();
}

void EventSet::Unnest(uint32_t number) {
  At(number).nests = false;
  --nested_;
  KeepRoom();
}

int EventSet::KeepRoom() {
  if (nested_ == 0 && !edges_watched_) {
    sys::EpollDelete(edges(), queue_->epoll());
    return 0;
  }
  const int error = PutIntoEdges(edges_watched_ ? kEdges : 0);
  if (error == 0 || !edges_watched_) return error;
  // A thread that sleeps on the edges would not be woken, so it is told to look for itself.
  edges_watched_ = false;
  queue_->Recall();
  return error;
}

// Modifying a member needs no memory, so that is tried first; the member is missing if the kernel
// had no memory to add it before.
int EventSet::PutIntoEdges(uint32_t epoll_events) {
  int error = sys::EpollModify(edges(), queue_->epoll(), epoll_events);
  if (error == -ENOENT) error = sys::EpollAdd(edges(), queue_->epoll(), epoll_events);
  return error == -EINVAL ? -ELOOP : error;  // as in Watch
}

// A thread that sleeps on the edges goes on sleeping.
int EventSet::MoveEpoll(int from, int to) {
  if (nested_ == 0 && !edges_watched_) return 0;
  const int error = sys::EpollAdd(edges(), to, edges_watched_ ? kEdges : 0);
  if (error == 0) sys::EpollDelete(edges(), from);
  return error;
}

// ---- The list of the ready ------------------------------------------------------

void EventSet::MakeReady(uint32_t number, bool level_triggered) {
  const Kevent& record = At(number);
  if (!record.leaving && !record.paused) ready_.Add(table_, number, level_triggered);
}

void EventSet::Withdraw(uint32_t number) {
  At(number).forced = false;
  ready_.Remove(table_, number);
}

void EventSet::Force(uint32_t number) {
  MakeReady(number, false);
  At(number).forced = true;
}

// ---- Pausing --------------------------------------------------------------------

// An event that was not collected is kept, as far as the source would not report it again.
void EventSet::Pause(uint32_t number) {
  Kevent& record = At(number);
  if (record.ready && !record.level_triggered) took_back_ = true;
  const bool forced = record.forced;
  Withdraw(number);
  record.forced = forced;
  record.paused = true;
  if (record.fd >= 0) ForgetFound(record);
}

// Reports what has come meanwhile.
void EventSet::GoOn(uint32_t number) {
  Kevent& record = At(number);
  record.paused = false;
  if (record.forced || record.found_flags != 0 || record.found_data[1] != 0) {
    MakeReady(number, false);
  }
}

// ---- Injecting ------------------------------------------------------------------

int EventSet::Inject(const ukevent& entry, Naming naming) {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  uint32_t number;
  if (const int missing = FindNamed(entry, naming, &number); missing != 0) return missing;
  const uint32_t link = number + 1;
  Kevent& record = At(number);
  if (record.injected) return 0;
  record.injected = true;
  record.injected_after = 0;
  if (injected_last_ != 0) At(injected_last_ - 1).injected_after = link;
  injected_last_ = link;
  if (injected_.load(std::memory_order_relaxed) == 0) {
    injected_.store(link, std::memory_order_seq_cst);
  }
  return 0;
}

void EventSet::HarvestInjected() {
  if (injected_.load(std::memory_order_seq_cst) == 0) return;
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  TakeInjected();
}

void EventSet::TakeInjected() {
  uint32_t link = injected_.exchange(0, std::memory_order_seq_cst);
  injected_last_ = 0;
  while (link != 0) {
    Kevent& record = At(link - 1);
    Force(link - 1);
    record.injected = false;
    link = record.injected_after;
  }
}

// ---- Invariants -------------------------------------------------------------------

const char* EventSet::CheckLists() {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  uint32_t injected = 0;
  uint32_t last = 0;
  for (uint32_t link = injected_.load(std::memory_order_seq_cst); link != 0;
       link = At(link - 1).injected_after) {
    if (!At(link - 1).injected) return "a kevent is among the injected that is none";
    if (++injected > table_.size()) return "the injected kevents go round in a circle";
    last = link;
  }
  if (injected_last_ != last) return "the last of the injected kevents is another one";
  table_.ForEach([&](uint32_t number) { injected -= At(number).injected ? 1 : 0; });
  return injected == 0 ? nullptr : "an injected kevent is not among the injected";
}

const char* EventSet::Check() {
  if (const char* broken = table_.Check(); broken != nullptr) return broken;
  if (const char* broken = ready_.Check(table_); broken != nullptr) return broken;
  if (const char* broken = CheckLists(); broken != nullptr) return broken;
  uint32_t ready = 0;
  uint32_t watched = 0;
  uint32_t nested = 0;
  uint32_t leaving = 0;
  bool ready_and_paused = false;
  table_.ForEach([&](uint32_t number) {
    const Kevent& record = At(number);
    ready += record.ready;
    ready_and_paused |= record.ready && record.paused;
    watched += record.fd >= 0;
    nested += record.nests;
    leaving += record.leaving;
  });
  for (const int fd : shared_) watched += fd != 0;
  if (ready_and_paused) return "a paused kevent is among the ready";
  if (ready != ready_.size()) return "a kevent is ready that is not among those that are";
  if (watched != watched_) return "another number of descriptors is watched";
  if (nested != nested_) return "another number of epolls is watched";
  // A kevent leaves with its batch, under the lock that this call holds.
  if (leaving != 0 || leaving_first_ != 0) return "a kevent that leaves has outlived its batch";
  return nullptr;
}

}  // namespace kevent::core
