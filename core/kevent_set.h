// SPDX-License-Identifier: MIT
//
// What kevent_ctl has registered with a queue: the records, which of them are
// ready, and what watches their sources.
//
//   kevent_set.cc   the list of the ready: injecting and delivering
//   harvesting.cc   which are: what the kernel has to say
//   kevent_ctl.cc   the commands
//   watching.cc     descriptors, in the queue's epoll
//   source_*.cc     a file for each kind of source, behind core/source.h
//
// Everything is under the queue's lock, but for Inject, which has a lock of its
// own that is only held with signals blocked, so that a signal handler may take
// it.  Who changes the table holds both.

#ifndef KEVENT_CORE_KEVENT_SET_H_
#define KEVENT_CORE_KEVENT_SET_H_

#include <kevent/kevent.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "core/completions.h"
#include "core/internal_descriptors.h"
#include "core/kevent_table.h"
#include "core/lock.h"
#include "core/source.h"
#include "core/system.h"

namespace kevent::core {

class Queue;

class KeventSet {
 public:
  // Of a queue that is opened or, in a child of fork, opened anew: 0 or an errno.
  int Open(Queue* queue, KeventPages* pages);
  bool open() const { return open_.load(std::memory_order_acquire); }
  // Of a queue that was closed: forgets all kevents.
  void Clear();

  Queue& queue() { return *queue_; }
  uint32_t registered() const { return table_.size(); }
  Kevent& At(uint32_t number) { return table_.At(number); }
  uint32_t NumberOf(const Kevent& record) { return table_.Find(record.key) - 1; }
  Lock& table_lock() { return table_lock_; }

  // ---- Commands (kevent_ctl.cc) ----

  // Registers a kevent, or says in *returned, which may be the entry itself, why not,
  // or that it is ready already.  True if the entry goes back to the program.
  bool Add(const ukevent& entry, ukevent* returned);
  int Remove(const ukevent& entry);  // 0 or a negative errno
  int Modify(const ukevent& entry);  // 0 or a negative errno
  // Whether Remove or Modify have taken something back that was ready, and announced,
  // since this was last asked.
  bool TookBack() { return std::exchange(took_back_, false); }
  // Registers a kevent of a type that kevent_ctl does not take, and cannot name: 0 or a
  // negative errno.  There may be several with one id and cookie.
  int AddInternal(uint32_t type, uint64_t id, uint64_t cookie, uint32_t event);
  // What the thread that calls has blocked: for KEVENT_SIGNAL (source_signal.cc).
  void set_callers_mask(sys::SignalSet mask) { callers_mask_ = mask; }
  sys::SignalSet callers_mask() const { return callers_mask_; }

  // A signalfd of all signals that kevents wait for, or -1: readable for a thread with
  // one pending, its own too, whoever has polled the queue's epoll before.
  int signals() const { return signals_.load(std::memory_order_acquire) - 1; }
  // True when this batch found a signal pending.
  bool signals_pending() const { return signals_pending_ != 0; }
  // The signals that the thread that collects lets through are its handlers'.
  void set_let_through(sys::SignalSet signals) { let_through_ = signals; }
  bool LetsThrough(const Kevent& record) const {
    return (let_through_ >> (record.key.id - 1) & 1) != 0;
  }

  // ---- Injecting; async-signal-safe ----

  // Marks a kevent as ready; false when there is none.
  bool Inject(const KeventKey& key);

  // What has completed into the queue.
  Completions& completions() { return completions_; }

  // Whether something came that nobody has looked at yet.
  bool anything_new() const {
    return injected_.load(std::memory_order_seq_cst) != 0 || completions_.any_posted();
  }

  // ---- Collecting ----

  // Whether the kernel is to be asked what is ready.
  bool watches() const { return watched_ != 0; }
  // Forgets what was ready by level, and takes in what was injected or has completed.
  // `sleeps_after`: if it finds nothing, a sleep follows that does not begin while something
  // is ready.
  void BeginBatch(bool sleeps_after);
  // Finds out what is ready, so many if there are; the kernel is not asked for
  // none.  Whether there may be more: then HarvestMore finds what this call has
  // not met yet.
  bool Harvest(unsigned wanted);
  bool HarvestMore(unsigned wanted);
  // Whether a harvest has met the queue's announcement since this was last asked.
  bool TookAnnouncement() { return std::exchange(took_announcement_, false); }
  void DropVain();
  unsigned ready_count() const { return ready_count_ + completions_.count(); }
  unsigned ready_by_level() const { return ready_count_ - unlevelled_count_; }
  // Delivers up to `max` and returns how many.
  unsigned Deliver(unsigned max, ukevent* events);
  // A KEVENT_TIMER has expired; false when it goes with this batch anyhow.
  bool DeliverTimer(uint32_t number, uint32_t overruns, uint32_t lateness, ukevent* event);
  // Removes what was delivered for the last time.
  void EndBatch();
  // Whether something can be collected that the kernel doesn't know of.
  bool kernel_does_not_know() const {
    return unlevelled_count_ != 0 || completions_.count() != 0 || anything_new();
  }
  // An epoll that becomes readable with each thing that happens to the queue's
  // own while it is watched, until it is taken; at first in any case.
  int WatchEdges();  // 0 or a negative errno
  void TakeEdges();
  void IgnoreEdges();
  // The queue's epoll is about to have another number: 0 or a negative errno.
  int MoveEpoll(int from, int to);
  int edges() const { return edges_.load(std::memory_order_acquire) - 1; }

  // ---- For sources ----

  void MakeReady(uint32_t number, bool by_level);
  void Withdraw(uint32_t number);  // from the ready
  void Leave(uint32_t number);     // for good, with the batch

  // Watches a descriptor (watching.cc): 0 or a negative errno.
  int Watch(uint32_t number, int fd, uint32_t epoll_events);
  int Rewatch(uint32_t number, uint32_t epoll_events);
  void Unwatch(uint32_t number);
  // A record watches an epoll: 0, or a negative errno when it is too deep.
  // Unwatch undoes it.
  int Nest(uint32_t number);
  // The program is about to close this number, and Watched has it no more.
  // Async-signal-safe: waits for no more than two system calls of another thread.
  void LetGo(int fd) const;
  // Whether a record's descriptor is still what it was.
  bool StillWatches(uint32_t number);

  // Takes over the descriptor that `create` makes, or the negative errno that it is:
  // the number that it has then, or a negative errno.
  template <typename Create>
  int Adopt(Create create) {
    return AdoptDescriptor(queue_number(), kRoleSource, create);
  }
  void Abandon(int fd);
  // Adopts a descriptor and has the record watch it: the number that it has then, or a
  // negative errno.  Unwatch closes it.
  template <typename Create>
  int AdoptAndWatch(uint32_t number, uint32_t epoll_events, Create create) {
    return WatchAdopted(number, Adopt(create), epoll_events);
  }

  // The inotify of all KEVENT_INODE, made when first needed: or a negative errno.
  int Inotify();
  // A record waits for its signal, or does no more: 0 or a negative errno.
  int ListenTo(uint32_t number);
  void StopListening(uint32_t number);
  KeventTable& table() { return table_; }

 private:
  static constexpr uint32_t kMaxLayers = 16;

  // A descriptor of the engine's own in the queue's epoll: as AdoptAndWatch.
  template <typename Create>
  int AdoptMember(uint64_t token, Create create) {
    return AddAdopted(Adopt(create), token);
  }
  int WatchAdopted(uint32_t number, int fd, uint32_t epoll_events);
  int AddAdopted(int fd, uint64_t token);

  uint32_t queue_number() const;
  unsigned DeliverReady(unsigned max, ukevent* events);
  void Erase(uint32_t number);
  void EraseStale(uint32_t number);
  void Force(uint32_t number);
  void TakeBack(uint32_t number);
  static void ForgetFound(Kevent& record);

  void HarvestInjected();
  void TakeInjected();
  void HarvestSignals();
  bool HarvestEpoll(uint32_t layer, unsigned wanted);
  int TakeReady(uint32_t layer, epoll_event* found, unsigned room) const;
  bool IsExhausted(uint32_t layer) const { return (exhausted_ & 1u << layer) != 0; }
  struct Strangers;
  static bool IsLayer(uint64_t token);
  static bool IsFinal(uint32_t epoll_events);
  bool WaitsForNextTurn(uint32_t layer, uint32_t turn, uint64_t token, Strangers* strangers);
  void Found(uint64_t token, uint32_t events);
  bool Shadowed(uint32_t number);
  void Shadow(const Kevent& first, bool alone);
  bool StillReady(uint32_t number);
  bool DeliverOne(uint32_t number, ukevent* event);
  unsigned DeliverByLevel(unsigned max, ukevent* events);
  unsigned LevelShare(unsigned max) const { return max / 2 + (level_first_ ? max % 2 : 0); }
  // How much more a harvest is to find, if anything.
  unsigned Missing(unsigned wanted) const {
    const unsigned share = LevelShare(wanted);
    return std::max(wanted - std::min(wanted, ready_count_),
                    share - std::min(share, ready_by_level()));
  }
  static void Describe(const Kevent& record, ukevent* event);

  void Unnest(uint32_t number);
  int KeepRoom();
  int PutIntoEdges(uint32_t epoll_events);
  int Epoll(uint32_t layer) const;
  int AddLayer();
  void LinkWatcher(uint32_t number);
  void UnlinkWatcher(uint32_t number);
  void ForgetTold(int fd);
  void DropStale(int fd, uint32_t layer, uint32_t but);
  int AddMember(uint32_t layer, int fd, uint32_t epoll_events, uint64_t token);

  Queue* queue_;
  std::atomic<bool> open_;
  Lock table_lock_;
  KeventTable table_;
  Completions completions_;
  bool completions_first_;  // whose turn it is when there is room for one
  bool level_first_;        // and whose of the kevents
  bool sleeps_after_;       // this batch, as BeginBatch has it

  uint32_t ready_first_;  // plus one
  uint32_t ready_last_;   // plus one
  unsigned ready_count_;
  unsigned unlevelled_count_;  // of them, those that are not by level
  uint32_t leaving_first_;     // plus one; linked by ready_after
  uint32_t round_;
  bool took_announcement_;
  bool took_back_;
  uint32_t watched_;  // how many records watch a descriptor
  uint32_t nested_;   // of them, an epoll
  // Of the epolls, the queue's own first: whose turn it is, and how many turns each
  // has had.  A bit for each: that are known to have something ready; in which this
  // batch has met all there is, or has begun a turn.
  uint32_t turn_;
  uint32_t turns_[kMaxLayers + 1];
  uint32_t layers_to_harvest_;
  uint32_t exhausted_;
  uint32_t begun_;
  uint32_t serials_;               // of internal kevents
  std::atomic<uint32_t> probing_;  // whether a number is still watched

  // Under the table's lock, linked by injected_after; plus one.
  std::atomic<uint32_t> injected_;
  uint32_t injected_last_;
  sys::SignalSet callers_mask_;

  // Signals that kevents wait for, and the first record for each, plus one; linked by
  // next_watch.
  sys::SignalSet waited_for_;
  uint32_t signal_first_[64];
  sys::SignalSet signals_pending_;
  sys::SignalSet let_through_;
  std::atomic<int> signals_;

  // Numbers plus one.  An epoll has a descriptor once: of several kevents on
  // one, the first is in the queue's epoll, the others are in these, each a
  // member of the queue's.
  std::atomic<int> layers_[kMaxLayers];
  uint32_t layer_count_;
  std::atomic<int> edges_;
  bool edges_watched_;
  std::atomic<int> inotify_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENT_SET_H_
