// SPDX-License-Identifier: MIT
//
// A queue: one descriptor, under which completions are collected.
//
// It ties its parts together, and has no state of its own beside them:
//   Lifetime    names and pins of the queue, and whether it is open (core/queue/lifetime.h)
//   Doorbell    how the kernel learns that something can be collected (core/queue/doorbell.h)
//   Inbox       timers that were armed since the last look (core/timers/inbox.h)
//   SlotStock   slots for timers to come (core/timers/slot_stock.h)
//   TimerIndex  what is due and what comes next (core/timers/timer_index.h)
//   EventSet    kevents and completions that are ready (core/kevents/event_set.h)
//   EventRing   the program's ring (core/operations/event_ring.h)
//   Sleepers    the threads that sleep for events (core/queue/sleepers.h)
// Lifetime, Doorbell and Inbox are without locks, and so is taking a slot from the stock; the
// others are under the queue's lock.
//
// Armers, which are async-signal-safe and take no lock, go from Inbox to Doorbell; collectors go
// through TimerIndex and EventSet with a Collector (core/queue/collector.h), and sleep in
// GetEventsCall (core/queue/get_events_call.cc).

#ifndef KEVENT_CORE_QUEUE_QUEUE_H_
#define KEVENT_CORE_QUEUE_QUEUE_H_

#include <absl/base/optimization.h>
#include <kevent/kevent.h>
#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/lock.h"
#include "core/base/seq_cst.h"
#include "core/kevents/event_set.h"
#include "core/kevents/host.h"
#include "core/operations/event_ring.h"
#include "core/queue/doorbell.h"
#include "core/queue/lifetime.h"
#include "core/queue/sleepers.h"
#include "core/timers/axis.h"
#include "core/timers/clocks.h"
#include "core/timers/inbox.h"
#include "core/timers/setting.h"
#include "core/timers/slot_stock.h"
#include "core/timers/slot_table.h"
#include "core/timers/timer_index.h"

namespace kevent::core {

inline constexpr uint32_t kMaxQueues = (1u << 14) - 1;  // numbers plus one have 14 bits
// The part of a queue that a fork leaves in place: addresses of pages whose
// contents it wipes.
struct QueueMemory {
  InboxDirectory inbox;
  TimerIndex::Pages indexes[kMaxAxes];
  // The number of a member that only the queue's epoll has, plus one.  It tells which descriptors
  // are the queue's, also in a child of fork.
  std::atomic<int> monotonic_timerfd;
  // Mapped when the first kevent is registered; the set is wiped.
  std::atomic<EventSet*> kevents;
  std::atomic<KeventPages*> kevent_pages;
};

class LineWriter;

class Queue : public KeventHost {
 public:
  // ---- Life ----

  // Makes the kernel objects of an unused queue: 0 or an errno.  The caller adds its first name.
  int Open(uint32_t number, QueueMemory* memory);

  uint32_t number() const { return number_; }
  // Calls of the lifetime (core/queue/lifetime.h).  The last Unpin closes the internals; the last
  // DropName closes the queue.
  uint32_t incarnation() const { return lifetime_.incarnation(); }
  bool is_used() const { return !lifetime_.is_unused(); }
  bool open() const { return lifetime_.open(); }
  bool Pin() { return lifetime_.Pin(); }
  void Unpin() {
    if (lifetime_.Unpin()) CloseInternals();
  }
  void AddName() { lifetime_.AddName(); }
  bool AddFurtherName() { return lifetime_.AddFurtherName(); }
  void DropName();

  // True if nothing refers to the queue any more, so that it can be opened anew.
  bool Reusable();

  // dup2 is about to take the number of the internal descriptor with this role: moves the object to
  // another number, and registers this one as left.  0; EBUSY if it cannot be moved; EAGAIN while
  // the queue is in use.  Async-signal-safe.
  int MoveInternal(int fd, uint16_t role);
  // True if no thread has read the number, which was left, and has yet to use it.
  bool IsUnused(int fd) ABSL_LOCKS_EXCLUDED(lock_);

  // The answer to the question if the calling thread's table of descriptors is the one that the
  // queue lives in.  A lock on one of the queue's files tells while it is open.  Async-signal-safe.
  Table CallersTable() const { return doorbell_.CallersTable(); }

  // A call of dup2 onto a number that was left has failed; true if the call may close the number.
  // If not, threads may go on using it, and it is closed with the queue.
  bool MayCloseLeft(int fd);

  // While the object lives, dup2 does not take a number that was read after its construction.
  class NumbersUsed;

  // The signal that the program has set for I/O on the queue's descriptor (F_SETSIG).
  int io_signal() const { return io_signal_.load(std::memory_order_relaxed); }
  void set_io_signal(int signal) { io_signal_.store(signal, std::memory_order_relaxed); }

  // True if the epoll's number is not a stranger's.
  bool OwnsEpoll() const { return doorbell_.OwnsEpoll(); }

  int epoll() const { return doorbell_.epoll(); }
  int always_ready() const { return doorbell_.always_ready(); }
  const KernelTimer& kernel_timer(uint8_t index) const { return doorbell_.timer(index); }
  // The number of the engine's own members that make the descriptor readable, as its collector has
  // told them and read the clocks.
  unsigned ReadableMembers() const;
  uint32_t axis_count() const { return doorbell_.timer_count(); }
  uint32_t own_members() const { return doorbell_.own_members(); }

  // ---- Timers ----

  // Makes a timer: 0 and its slot and generation, or an errno and nothing.
  int AddTimer(const ClockPlan& plan, uint64_t cookie, Handle* handle);

  // True unless the axis is the CPU time of a thread or process that has ended; another one may
  // have its id by now.  Async-signal-safe.
  bool ClockLives(uint8_t axis);

  // Notes that a timer of this queue was deleted; its slot is to be taken back.
  void DeletedTimer(uint32_t slot);

  // Makes, sets and deletes the timers of kevents, under the lock.
  int AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle);
  // True if the timer would be collected, as the clocks were read.
  bool IsDue(uint32_t slot) const {
    lock_.AssertHeld();
    return index_.IsDue(slot);
  }
  void DeleteKeventTimer(Handle handle);
  void UnscheduleKeventTimer(Handle handle);
  void ScheduleKeventTimer(Handle handle);

  // ---- Kevents ----

  // The set of registered kevents, or nullptr if there never was one.
  EventSet* kevents() const {
    EventSet* set = memory_->kevents.load(std::memory_order_acquire);
    return set != nullptr && set->open() ? set : nullptr;
  }
  // Makes the set: 0 or an errno.
  int OpenKevents(EventSet** set);

  // Calls `change`, which may change the set.
  template <typename Change>
  void WithKevents(Change change) {
    Locked locked(lock_);
    Locked table_locked(memory_->kevents.load(std::memory_order_relaxed)->table_lock());
    change();
  }

  // Calls `change`, which leaves the table of kevents as it is, as a collection does: it begins or
  // cancels transfers, or modifies kevents where they are.
  template <typename Change>
  void WithTableAsIs(Change change) {
    Locked locked(lock_);
    change(*memory_->kevents.load(std::memory_order_relaxed));
  }

  // Begins the reads ahead that a harvest has left for afterwards: called after each collection,
  // without the lock.
  void BeginReadsOfTransfers() ABSL_LOCKS_EXCLUDED(lock_);

  // Wakes a holding leader, as the descriptors that it sleeps on have changed.
  void Recall();
  // Wakes all sleepers, as the descriptors that any of them sleeps on have changed.
  void RecallAll();
  // Looks again after something that was ready and announced was taken back.
  void LookAnew();

  EventRing& ring() { return ring_; }
  // The consumer of the ring has made room.
  int CommitRing(unsigned new_uidx, unsigned over);

  // Writes the queue's state as text: see DumpQueue.
  void Dump(LineWriter& out);

  // ---- Armers; async-signal-safe ----

  // The word of this timer was replaced by one with a deadline: makes sure that a collector looks
  // at it in time.
  void Armed(uint32_t slot, const TimerSlot& timer, AxisDeadline deadline);

  // The steps of Armed, for a call that arms many timers (core/queue/armed_batch.h).
  //
  // True if an entry of the index comes up earlier on the same axis: the collector then reads the
  // word in time, as it clears `scheduled_at` before it reads the word for the last time.
  static bool IsScheduledBefore(const TimerSlot& timer, AxisDeadline deadline) {
    const AxisDeadline scheduled = timer.scheduled_at.load();
    return scheduled.deadline() != 0 && scheduled.deadline() < deadline.deadline() &&
           scheduled.on_monotonic_axis() == deadline.on_monotonic_axis();
  }
  static uint8_t AxisOf(const TimerSlot& timer, AxisDeadline deadline) {
    return deadline.on_monotonic_axis() ? kMonotonicAxis
                                        : timer.axis.load(std::memory_order_relaxed);
  }
  // Marks timers for the next collector, as Inbox::MarkWord.
  void MarkWord(uint32_t word, uint64_t bits) {
    // The memory is wiped in a child of fork: a signal handler has forked and returned there.
    QueueMemory* const memory = memory_;
    if (ABSL_PREDICT_TRUE(memory != nullptr)) inbox_.MarkWord(memory->inbox, word, bits);
  }
  // Has a collector look by this deadline.
  void NotifyBy(uint8_t axis, Nanoseconds deadline) {
    if (!doorbell_.WillBeHeardBy(axis, deadline)) NotifyAt(axis, deadline);
  }

  // The kernel's timer on the clock of a CPU-time axis has expired.
  void AlarmFired(uint8_t axis);

  // Tells that something can be collected of which the kernel does not know.
  void Wake();

  // Has one sleeping call return, or the next call that would sleep.
  void RequestExit() { doorbell_.RequestExit(); }
  // Returns the first invariant that does not hold, or nullptr; for tests and debuggers.
  const char* Check() ABSL_LOCKS_EXCLUDED(lock_);

  // ---- Collecting and sleeping ----

  struct Request {
    unsigned min_nr;
    unsigned max_nr;
    ukevent* events;
    const timespec* timeout;
    unsigned flags;
    const sigset_t* mask;
    // True for kevent_wait: the events go into the ring, if old_uidx is its consumer's index.
    bool into_ring = false;
    unsigned old_uidx = 0;
  };
  // Returns the number of events, or a negative errno.  A cancellation point.  Requires a pin, and
  // unpins, unless it returns in a child of fork.
  int GetEvents(const Request& request);

 private:
  friend class Collector;
  friend class GetEventsCall;
  void CloseInternals();
  void CloseOthers();
  int MoveInternalLocked(int fd, uint16_t role) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int FindOrMakeAxis(const ClockPlan& plan, uint8_t* index, bool* made)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int JoinWithSlot(uint8_t axis, uint32_t* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int AllocateSlot(uint32_t* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void FillStock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void EmptyStock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Handle HandOut(uint32_t slot, uint8_t axis, uint64_t cookie, uint16_t flags);
  int AddTimerLocked(const ClockPlan& plan, uint64_t cookie, uint16_t flags, Handle* handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DrainInbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void TakeBackReleased() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DropEmptied() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  void DumpLocked(LineWriter& out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  void NotifyAt(uint8_t index, Nanoseconds deadline);

  unsigned Collect(unsigned min, unsigned max, ukevent* events, unsigned* due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  bool LookAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void AnnounceAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Doorbell::Members EpollMembers() const;

  void Enlist(Sleeper& sleeper, unsigned due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Leave(Sleeper& sleeper) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int Hold() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void StopHolding(const Sleeper& sleeper) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned HoldersDescriptors(pollfd* descriptors) const;

  Lock lock_;  // taken by collectors, and by timer_create and timer_delete now and then

  Lifetime lifetime_;
  uint32_t number_;
  QueueMemory* memory_;

  std::atomic<int> io_signal_;
  Doorbell doorbell_;
  bool kevents_first_ ABSL_GUARDED_BY(lock_);  // whose turn it is if there is room for one
  EventRing ring_;

  std::atomic<uint32_t> deleted_;  // number of timers that the index has yet to release

  Sleepers sleepers_ ABSL_GUARDED_BY(lock_);

  Inbox inbox_;
  SlotStock stock_;  // for timers on the monotonic clock; they count as members of its axis
  TimerIndex index_ ABSL_GUARDED_BY(lock_);
};

class Queue::NumbersUsed : private Doorbell::NumbersUsed {
 public:
  explicit NumbersUsed(Queue& queue) : Doorbell::NumbersUsed(queue.doorbell_) {}
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_QUEUE_H_
