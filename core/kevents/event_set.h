// SPDX-License-Identifier: MIT
//
// The kevents that are registered with a queue: their records, the list of those that are ready,
// and the epolls that watch their sources.
//
// All functions need the queue's lock.  Only Inject has a lock of its own, which is held with
// signals blocked, so that a signal handler may take it.  A thread that changes the table, or
// takes what Inject has listed, holds both.

#ifndef KEVENT_CORE_KEVENTS_EVENT_SET_H_
#define KEVENT_CORE_KEVENTS_EVENT_SET_H_

#include <kevent/kevent.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "core/base/lock.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/kevents/epoll_members.h"
#include "core/kevents/host.h"
#include "core/kevents/kevent_table.h"
#include "core/kevents/ready_list.h"
#include "core/kevents/source.h"
#include "core/operations/completions.h"
#include "core/system/system.h"
#include "core/transfers/transfers.h"

namespace kevent::core {

class EventSet {
 public:
  // Opens the set with its queue or, in a child of fork, anew: 0 or an errno.
  int Open(KeventHost* queue, KeventPages* pages);
  bool open() const { return open_.load(std::memory_order_acquire); }
  // Forgets all kevents, as the queue was closed.
  void Clear();

  KeventHost& queue() { return *queue_; }
  uint32_t registered() const { return table_.size(); }
  Kevent& At(uint32_t number) { return table_.At(number); }
  uint32_t NumberOf(const Kevent& record) { return table_.Find(record.key) - 1; }
  Lock& table_lock() { return table_lock_; }

  // ---- Commands of kevent_ctl ----

  // How a command finds the kevent that an entry names.
  struct Naming {
    bool by_id;     // type and id name it, which no other may have
    bool replaces;  // Add modifies the kevent if it is registered
  };

  // Registers a kevent.  Returns 0, a negative errno, or Source::kReadyNow: then the kevent is not
  // registered, and the entry says what would have been reported.
  int Add(ukevent* entry, Naming naming);
  int Remove(const ukevent& entry, Naming naming);  // 0 or a negative errno
  // Replaces event, flags and, with by_id, the cookie: 0 or a negative errno.
  int Modify(const ukevent& entry, Naming naming);
  // Does what Modify does, without the lock of the table and with signals as they are, for a kevent
  // whose record and whose member of an epoll stay where they are: true if it is one.  One that is
  // to be replaced is none if its number names another file by now.
  bool ModifiesInPlace(const ukevent& entry, Naming naming, int* result);
  // True if Remove or Modify have withdrawn a kevent that was ready, and announced, since this was
  // last asked.
  bool TookBack() { return std::exchange(took_back_, false); }
  // Registers a kevent of a type that kevent_ctl does not take, and cannot name: 0 or a negative
  // errno.  Several may have one id and cookie.
  int AddInternal(uint32_t type, uint64_t id, uint64_t cookie, uint32_t event);
  // The call that changes the set: the signals that its thread has blocked, for KEVENT_SIGNAL, and
  // the batch of timers that it sets, for KEVENT_TIMER.
  void set_call(sys::SignalSet mask, SettingBatch* settings) {
    callers_mask_ = mask;
    settings_ = settings;
  }
  sys::SignalSet callers_mask() const { return callers_mask_; }
  SettingBatch* settings() const { return settings_; }

  // A signalfd of all signals that kevents wait for, or -1.  It is readable for a thread with a
  // signal pending, the thread's own too, even if another thread has polled the queue's epoll
  // before.
  int signals() const { return signals_.load(std::memory_order_acquire) - 1; }
  // True if this batch found a signal pending.
  bool signals_pending() const { return signals_pending_ != 0; }
  // Signals that the collecting thread lets through: they are for its handlers.
  void set_let_through(sys::SignalSet signals) { let_through_ = signals; }
  bool LetsThrough(const Kevent& record) const {
    return (let_through_ >> (record.key.id - 1) & 1) != 0;
  }

  // ---- Injecting; async-signal-safe ----

  // Marks a kevent as ready: 0 or a negative errno.
  int Inject(const ukevent& entry, Naming naming);

  // The operations that have completed into the queue.
  Completions& completions() { return completions_; }

  // True if something was injected or completed since a collector has last looked.
  bool anything_new() const {
    return injected_.load(std::memory_order_seq_cst) != 0 || completions_.any_posted() ||
           transfers_.any_news();
  }

  // ---- Transfers on sockets (core/sources/transfer_source.cc) ----

  Transfers& transfers() { return transfers_; }
  // Begins a transfer: tries it, and puts it in line if it would wait.  0, or an errno and nothing.
  int BeginTransfer(uint32_t operation);
  // Ends transfers on a socket with ECANCELED: all, or those with this cookie.  Those whose file is
  // just being read end later.
  struct Cancelled {
    bool any;
    bool any_later;
  };
  Cancelled CancelTransfers(int socket, const uint64_t* cookie);
  // The sockets that are watched for transfers, and those that wait in their lines.
  struct TransferCounts {
    uint32_t sockets;
    uint32_t in_flight;
  };
  TransferCounts CountTransfers();
  // The first of the readers that the caller begins without the lock (BeginReadsAhead), plus one,
  // linked by line_after; or 0.
  uint32_t TakeReadsAhead() {
    if (transfers_.to_read_.load(std::memory_order_relaxed) == 0) return 0;
    return transfers_.to_read_.exchange(0, std::memory_order_acquire);
  }
  // For the source alone.
  void ListSocket(uint32_t number);
  void UnlistSocket(uint32_t number);
  void RunTransfers(uint32_t number, bool in, bool out);

  // ---- Collecting ----

  // True while the kernel has to be asked what is ready.
  bool watches() const { return watched_ != 0; }
  // Forgets the level-triggered kevents that were ready, and takes in those that were injected and
  // the operations that have completed.  `sleeps_after`: if the batch finds nothing, a sleep
  // follows that does not begin while something is ready.
  void BeginBatch(bool sleeps_after);
  // Finds up to `wanted` kevents that are ready; with 0 it does not ask the kernel.  True if there
  // may be more: then HarvestMore finds those that this call has not met yet.
  bool Harvest(unsigned wanted);
  bool HarvestMore(unsigned wanted);
  // True if a harvest has met the queue's announcement since this was last asked.
  bool TookAnnouncement() { return std::exchange(took_announcement_, false); }
  // Withdraws kevents that would not be reported, so that a thread that waits for several counts
  // right.
  void DropVain();
  unsigned ready_count() const { return ready_.size() + completions_.count(); }
  unsigned ready_level_triggered() const { return ready_.level_triggered(); }
  // Delivers up to `max` events and returns their number.
  unsigned Deliver(unsigned max, ukevent* events);
  // Reports that a kevent's timer has expired; false if the kevent leaves with this batch.
  bool DeliverTimer(uint32_t number, uint32_t overruns, uint32_t lateness, ukevent* event);
  bool IsPaused(uint32_t number) { return At(number).paused; }
  // Has the caller look anew at what is due, and tell the kernel, after its change of the set.
  void set_took_back() { took_back_ = true; }
  // Removes the kevents that were delivered for the last time.
  void EndBatch();
  // True if something can be collected that the kernel does not know of.
  bool kernel_does_not_know() const {
    return ready_.latched() != 0 || completions_.count() != 0 || anything_new();
  }
  // The edges are an epoll that becomes readable with each event of the queue's epoll while they
  // are watched, until the event is taken; and at the beginning in any case.
  int WatchEdges();  // 0 or a negative errno
  void TakeEdges();
  void IgnoreEdges();
  // Called before the queue's epoll gets another number: 0 or a negative errno.
  int MoveEpoll(int from, int to);
  int edges() const { return edges_.load(std::memory_order_acquire) - 1; }

  // ---- For sources ----

  void MakeReady(uint32_t number, bool level_triggered);
  void Force(uint32_t number);     // whatever the source says
  void Withdraw(uint32_t number);  // from the list of the ready
  void Leave(uint32_t number);     // for good, with the batch

  // True if the record would be reported.  Asked last before that, as the source gives up here what
  // goes with the event.
  bool StillReady(uint32_t number);

  // Watches a descriptor: 0 or a negative errno.
  int Watch(uint32_t number, int fd, uint32_t epoll_events);
  int Rewatch(uint32_t number, uint32_t epoll_events);
  void Unwatch(uint32_t number);
  // Notes that a record watches an epoll: 0, or a negative errno if it is nested too deep.  Unwatch
  // undoes it.
  int Nest(uint32_t number);
  // The program is about to close this number, and WatchedFds no longer has it.  Async-signal-safe:
  // waits for what another thread does just then, two system calls or one socket's turn of
  // transfers, and for nothing that it begins afterwards.
  void UnwatchFd(int fd);
  // The epoll events of a record that is watched for `events`: none while it is paused, and one
  // report if it pauses then.
  static uint32_t WatchedEvents(const Kevent& record, uint32_t events) {
    if (record.paused) return kMuted;
    return events | ((record.req_flags & KEVENT_REQ_DISPATCH) != 0 ? EPOLLONESHOT : 0u);
  }
  // True while a record's descriptor is still what it was.
  bool StillWatches(uint32_t number);
  // False for a number of the program's that was closed since it was watched, as the library saw.
  bool MayWatch(int fd) const;

  // Takes over the descriptor that `create` makes; returns its number from then on, or a negative
  // errno, which may be that of `create`.
  template <typename Create>
  int Adopt(Create create) {
    return AdoptDescriptor(queue_number(), kRoleSource, create);
  }
  void Abandon(int fd);
  // Adopts a descriptor and has the record watch it; returns its number from then on, or a negative
  // errno.  Unwatch closes it.
  template <typename Create>
  int AdoptAndWatch(uint32_t number, uint32_t epoll_events, Create create) {
    return WatchAdopted(number, Adopt(create), epoll_events);
  }
  // The descriptor that all kevents of this type share, made when it is first asked for and closed
  // with the queue; or a negative errno.
  template <typename Create>
  int Shared(uint32_t type, Create create) {
    if (shared_[type] != 0) return shared_[type] - 1;
    const int fd = AdoptMember(SharedToken(type), create);
    if (fd < 0) return fd;
    shared_[type] = fd + 1;
    ++watched_;
    return fd;
  }

  // Makes a record wait for its signal: 0 or a negative errno.
  int ListenTo(uint32_t number);
  bool ListensTo(uint32_t number);
  void StopListening(uint32_t number);
  // Makes a record wait for a message.
  void ListenForMessage(uint32_t number);
  void StopListeningForMessage(uint32_t number);
  // Erases records of message queues whose registration has ended without a message: those with
  // this mqd_t, or all.  True if there were any.
  bool DropEndedMessages(uint64_t id, bool all);
  KeventTable& table() { return table_; }

  // Returns the first invariant that does not hold, or nullptr; looks at every record.
  const char* Check();

 private:
  static constexpr uint32_t kMaxOverflowEpolls = 16;

  // Does what AdoptAndWatch does, for a descriptor of the engine's own in the queue's epoll.
  template <typename Create>
  int AdoptMember(uint64_t token, Create create) {
    return AddAdopted(Adopt(create), token);
  }
  int WatchAdopted(uint32_t number, int fd, uint32_t epoll_events);
  int AddAdopted(int fd, uint64_t token);

  uint32_t queue_number() const;
  int FindNamed(const ukevent& entry, Naming naming, uint32_t* number);
  int FindLive(const ukevent& entry, Naming naming, uint32_t* number);
  void EraseStaleOf(const ukevent& entry);
  int Register(ukevent* entry);
  int ModifyFound(uint32_t number, const ukevent& entry, Naming naming);
  int ModifyRecord(uint32_t number, const ukevent& entry);
  void Pause(uint32_t number);
  void GoOn(uint32_t number);
  unsigned DeliverReady(unsigned max, ukevent* events);
  void Erase(uint32_t number);
  void EraseStale(uint32_t number);
  void TakeBack(uint32_t number);
  static void ForgetFound(Kevent& record);
  // Such a kevent, once it was found, stays among the ready until it is delivered: the kernel does
  // not tell of it a second time.
  static bool IsLatched(const Kevent& record) {
    return (record.req_flags & (KEVENT_REQ_ET | KEVENT_REQ_DISPATCH)) != 0;
  }

  void HarvestInjected();
  void TakeInjected();
  void HarvestTransfers();
  void TakeReader(uint32_t reader);
  void TakeReaders();
  void DropIfClosed(uint32_t number);
  void DropClosedSockets();
  void ForgetReaders();
  uint32_t FindSocket(int socket);
  void EraseSocket(uint32_t number);
  int KeepFile(Operation* operation);
  int WaitInLine(uint32_t link, uint32_t operation, bool could_go_on);
  bool RunLine(uint32_t number, bool in);
  void ReadAhead(uint32_t number);
  bool HarvestEpolls(unsigned wanted);
  void HarvestSignals();
  bool HarvestEpoll(uint32_t epoll_index, unsigned wanted);
  int TakeReady(uint32_t epoll_index, epoll_event* found, unsigned room) const;
  bool IsExhausted(uint32_t epoll_index) const { return (exhausted_ & 1u << epoll_index) != 0; }
  struct UnknownMembers;
  static bool IsOverflowEpoll(uint64_t token);
  static bool IsFinal(uint32_t epoll_events);
  bool WaitsForNextTurn(uint32_t epoll_index, uint32_t turn, uint64_t token,
                        UnknownMembers* unknown);
  void Found(uint64_t token, uint32_t events);
  bool IsDuplicate(uint32_t number);
  void SuppressDuplicates(const Kevent& first, bool alone);
  void DropOne(uint32_t number);
  bool DeliverOne(uint32_t number, ukevent* event);
  unsigned DeliverLevelTriggered(unsigned max, ukevent* events);
  unsigned LevelShare(unsigned max) const { return max / 2 + (level_first_ ? max % 2 : 0); }
  // The number of kevents that a harvest has yet to find.
  unsigned Missing(unsigned wanted) const {
    const unsigned share = LevelShare(wanted);
    return std::max(wanted - std::min(wanted, ready_.size()),
                    share - std::min(share, ready_level_triggered()));
  }
  static void Describe(const Kevent& record, ukevent* event);
  const char* CheckLists();

  void Unnest(uint32_t number);
  int KeepRoom();
  int PutIntoEdges(uint32_t epoll_events);
  int EpollAt(uint32_t epoll_index) const;
  int AddOverflowEpoll();
  void LinkWatcher(uint32_t number);
  void UnlinkWatcher(uint32_t number);
  bool IsWatchedBesideEpoll(int fd);
  void ForgetTold(int fd);
  void DropStale(int fd, uint32_t epoll_index, uint32_t but);
  int AddMember(uint32_t epoll_index, int fd, uint32_t epoll_events, uint64_t token);

  KeventHost* queue_;
  std::atomic<bool> open_;
  Lock table_lock_;
  KeventTable table_;
  Completions completions_;
  Transfers transfers_;
  bool completions_first_;  // a place left over by halving is a completion's
  bool level_first_;        // a place left over by halving is for a level-triggered kevent
  bool sleeps_after_;       // the argument of BeginBatch

  ReadyList ready_;
  uint32_t leaving_first_;  // number plus one; linked by ready_after
  uint32_t round_;
  bool took_announcement_;
  bool took_back_;
  uint32_t watched_;  // number of records that watch a descriptor
  uint32_t nested_;   // number of those that watch an epoll
  // The epolls, the queue's own first, have their turns one after the other.  turn_: the epoll
  // whose turn it is; turns_: the number of turns each has had.  Then sets with a bit for each
  // epoll: those that are known to have something ready, those in which this batch has met all
  // there is, and those in which it has begun a turn.
  uint32_t turn_;
  uint32_t turns_[kMaxOverflowEpolls + 1];
  uint32_t overflows_to_harvest_;
  uint32_t exhausted_;
  uint32_t begun_;
  uint32_t serials_;  // counts internal kevents
  // Odd while a thread, under the queue's lock, relies on a number that it has found watched.
  std::atomic<uint32_t> probing_;

  // Number plus one; under the table's lock, linked by injected_after.
  std::atomic<uint32_t> injected_;
  uint32_t injected_last_;
  sys::SignalSet callers_mask_;
  SettingBatch* settings_;

  // The signals that kevents wait for, and for each the first record, plus one; linked by
  // next_watch.
  sys::SignalSet waited_for_;
  uint32_t signal_first_[64];
  sys::SignalSet signals_pending_;
  sys::SignalSet let_through_;
  uint32_t message_first_;  // number plus one: the first that waits for messages; linked by
                            // next_watch
  std::atomic<int> signals_;

  // Numbers plus one.  An epoll has a descriptor once: of several kevents on one, the first is in
  // the queue's epoll, the others are in overflow epolls, each a member of the queue's epoll.
  std::atomic<int> overflow_epolls_[kMaxOverflowEpolls];
  uint32_t overflow_count_;
  std::atomic<int> edges_;
  bool edges_watched_;
  int shared_[SourceTable::kTypes];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_EVENT_SET_H_
