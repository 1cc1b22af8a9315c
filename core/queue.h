// SPDX-License-Identifier: MIT
//
// A queue: the timers that complete into it, indexed per axis of time; the
// kernel objects that make its descriptor readable; and who sleeps on it.
//
// Its parts live in
//   queue.cc      opening, pinning, closing, and the axes
//   queue_descriptors.cc  closing and moving the descriptors that it has inside
//   arming.cc     what armers do to have the queue look at a timer
//   indexing.cc   moving what was armed into the index, under the lock
//   collector.cc  taking what is due, under the lock
//   settling.cc   telling the kernel what comes next, under the lock
//   waiting.cc    the leader's place, as the kernel objects see it
//   get_events_call.cc    one call that collects, and sleeps for it
//   queue_kevents.cc  what it does for the set of other kevents, kevent_set.h

#ifndef KEVENT_CORE_QUEUE_H_
#define KEVENT_CORE_QUEUE_H_

#include <kevent/kevent.h>
#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/axis.h"
#include "core/clocks.h"
#include "core/deadline_heap.h"
#include "core/deadline_run.h"
#include "core/doorbell.h"
#include "core/event_ring.h"
#include "core/far_index.h"
#include "core/inbox.h"
#include "core/kevent_set.h"
#include "core/lifetime.h"
#include "core/lock.h"
#include "core/seq_cst.h"
#include "core/setting.h"
#include "core/sleepers.h"
#include "core/slot_table.h"

namespace kevent::core {

inline constexpr uint32_t kMaxQueues = (1u << 14) - 1;  // numbers plus one have 14 bits
// The part of a queue that a fork leaves in place: addresses of pages whose
// contents it wipes.
struct QueueMemory {
  struct Span {
    std::atomic<HeapEntry*> entries;  // the heap's, as many as the capacity, and the run's
    std::atomic<FarPages*> far;
    std::atomic<uint32_t> capacity;  // timers
  };
  InboxDirectory inbox;
  Span indexes[kMaxAxes];
  // A member that only the queue's epoll has: its number plus one.  Tells which
  // descriptors are the queue's, also in a child of fork.
  std::atomic<int> monotonic_timerfd;
  // Mapped when the first kevent is registered; the set is wiped.
  std::atomic<KeventSet*> kevents;
  std::atomic<KeventPages*> kevent_pages;
};

class LineWriter;

class Queue {
 public:
  // ---- Life (queue.cc) ----

  // Makes the kernel objects of an unused queue: 0 or an errno.  The caller
  // names it.
  int Open(uint32_t number, QueueMemory* memory);

  uint32_t number() const { return number_; }
  // Of the lifetime (core/lifetime.h).  Whoever unpins last closes the internals; whoever drops
  // the last name closes the queue.
  uint32_t incarnation() const { return lifetime_.incarnation(); }
  bool open() const { return lifetime_.open(); }
  bool Pin() { return lifetime_.Pin(); }
  void Unpin() {
    if (lifetime_.Unpin()) CloseInternals();
  }
  void AddName() { lifetime_.AddName(); }
  bool AddFurtherName() { return lifetime_.AddFurtherName(); }
  void DropName();

  // Whether nothing refers to it any more, so that it can be opened anew.
  bool Reusable();

  // The internal descriptor with this role is about to be taken by dup2: moves
  // the object to another number, and registers this one as left.  0; EBUSY when it
  // cannot be moved; EAGAIN while the queue is in use.  Async-signal-safe.
  int MoveInternal(int fd, uint16_t role);
  // No thread has read the number, which was left, and has yet to use it.
  bool IsUnused(int fd) ABSL_LOCKS_EXCLUDED(lock_);

  // The calling thread's table of descriptors is the one that the queue lives in, or
  // is not, which a lock on one of its files tells while it is open.  Async-signal-safe.
  using Table = Doorbell::Table;
  Table CallersTable() const { return doorbell_.CallersTable(); }

  // A call of dup2 onto a number that was left has failed: whether it may close it.  If
  // not, threads may go on using it, and it is closed with the queue.
  bool MayCloseLeft(int fd);

  // While it lives, a number that was read afterwards is not taken by dup2.
  class NumbersUsed;

  // The signal that the program has set for I/O on its descriptor (F_SETSIG).
  int io_signal() const { return io_signal_.load(std::memory_order_relaxed); }
  void set_io_signal(int signal) { io_signal_.store(signal, std::memory_order_relaxed); }

  // Whether the epoll's number is not a stranger's.
  bool OwnsEpoll() const { return doorbell_.OwnsEpoll(); }

  int epoll() const { return doorbell_.epoll(); }
  int always_ready() const { return doorbell_.always_ready(); }
  const KernelTimer& kernel_timer(uint8_t index) const { return doorbell_.timer(index); }
  // How many of the engine's own members make the descriptor readable, as its
  // collector has told them and read the clocks.
  unsigned ReadableMembers() const;
  uint32_t axis_count() const { return doorbell_.timer_count(); }

  // ---- Timers ----

  // Makes a timer: 0 and its slot and generation, or an errno and nothing.
  int AddTimer(const ClockPlan& plan, uint64_t cookie, Handle* handle);

  // Whether the thread or process whose CPU time an axis is, if it is that, has
  // not ended: another one may have its id by now.  Async-signal-safe.
  bool ClockLives(uint8_t axis);

  // A timer of this queue was deleted; its slot is to be taken back.
  void DeletedTimer(uint32_t slot);

  // The same for those of kevents, under the lock.
  int AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle);
  // Whether it would be collected, as the clocks were read.
  bool IsDue(uint32_t slot) const;
  void DeleteKeventTimer(Handle handle);

  // ---- Kevents ----

  // The set of those that are registered, or nullptr while there was none.
  KeventSet* kevents() const {
    KeventSet* set = memory_->kevents.load(std::memory_order_acquire);
    return set != nullptr && set->open() ? set : nullptr;
  }
  // Makes it: 0 or an errno.
  int OpenKevents(KeventSet** set);

  // Calls what changes the set.
  template <typename Change>
  void WithKevents(Change change) {
    Locked locked(lock_);
    Locked table_locked(memory_->kevents.load(std::memory_order_relaxed)->table_lock());
    change();
  }

  // What a holding leader sleeps on has changed.
  void Recall();
  // Recalls all sleepers: what any of them sleeps on has changed.
  void RecallAll();
  // Something that was ready and announced was taken back.
  void LookAnew();

  EventRing& ring() { return ring_; }
  // The consumer of the ring has made room.
  int CommitRing(unsigned new_uidx, unsigned over);

  // For people (dump.cc): see DumpQueue.
  void Dump(LineWriter& out);

  // ---- Armers (arming.cc); async-signal-safe ----

  // The word of this timer was replaced by one with a deadline: makes sure that
  // the queue looks at it in time.
  void Armed(uint32_t slot, TimerSlot& timer, AxisDeadline deadline);

  // The kernel's timer of a CPU-time axis expired.
  void AlarmFired(uint8_t axis);

  // Something can be collected that the kernel does not know of.
  void Wake();

  // Has one call that sleeps return, or the next that would.
  void RequestExit() { doorbell_.RequestExit(); }
  // The first invariant that does not hold, or nullptr; for tests and debuggers.
  const char* Check() ABSL_LOCKS_EXCLUDED(lock_);

  // ---- Collecting and waiting (collector.cc, get_events_call.cc) ----

  struct Request {
    unsigned min_nr;
    unsigned max_nr;
    ukevent* events;
    const timespec* timeout;
    unsigned flags;
    const sigset_t* mask;
    // kevent_wait: into the ring instead, as long as this is its consumer's index.
    bool into_ring = false;
    unsigned old_uidx = 0;
  };
  // The number of events, or a negative errno.  A cancellation point.
  // Requires a pin, and unpins, unless it returns in a child of fork.
  int GetEvents(const Request& request);

 private:
  friend class GetEventsCall;
  struct Positions {
    void Moved(uint32_t slot, uint32_t position) const {
      SlotTable::At(slot).position_or_next_free = position + 1;
    }
    void InRun(uint32_t slot, RunPlace place) const {
      SlotTable::At(slot).position_or_next_free = place.bits();
    }
  };
  using Heap = DeadlineHeap<Positions>;
  Heap heap(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return Heap(memory_->indexes[&axis - axes_].entries.load(std::memory_order_relaxed),
                &axis.heap_size, Positions());
  }

  using Run = DeadlineRun<Positions>;
  // More than that are seldom in step.
  static constexpr uint32_t RunSize(uint32_t capacity) {
    constexpr uint32_t kMost = 4096;
    return capacity < kMost ? capacity : kMost;
  }
  Run run(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    const QueueMemory::Span& span = memory_->indexes[&axis - axes_];
    const uint32_t capacity = span.capacity.load(std::memory_order_relaxed);
    return Run(span.entries.load(std::memory_order_relaxed) + capacity, RunSize(capacity),
               &axis.run, Positions());
  }

  static constexpr size_t EntryBytes(uint32_t capacity) {
    return size_t{capacity + RunSize(capacity)} * sizeof(HeapEntry);
  }

  // The earliest of heap and run, or nullptr.
  const HeapEntry* Top(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    const HeapEntry* const in_run = run(axis).empty() ? nullptr : &run(axis).first();
    if (axis.heap_size == 0) return in_run;
    const HeapEntry* const in_heap = &heap(axis).top();
    return in_run != nullptr && *in_run < *in_heap ? in_run : in_heap;
  }

  // Where the timers of an axis say that they are.
  struct Places {
    uint32_t* At(uint32_t slot) const {
      TimerSlot& timer = SlotTable::At(slot);
      if (timer.queue_link() != queue + 1) return nullptr;
      return timer.entry_axis == axis ? &timer.position_or_next_free : nullptr;
    }
    void Prefetch(uint32_t slot) const { __builtin_prefetch(&SlotTable::At(slot), 1); }
    uint32_t queue;
    uint8_t axis;
  };
  using Far = FarIndex<Places>;
  Far far(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    const auto index = static_cast<uint8_t>(&axis - axes_);
    const QueueMemory::Span& span = memory_->indexes[index];
    return Far(span.far.load(std::memory_order_relaxed),
               Far::BlocksFor(span.capacity.load(std::memory_order_relaxed)), &axis.far,
               {number_, index});
  }

  // queue_descriptors.cc
  void CloseInternals();
  void CloseOthers();
  int MoveInternalLocked(int fd, uint16_t role) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int FindOrMakeAxis(const ClockPlan& plan, uint8_t* index, bool* made)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int AllocateSlot(uint32_t* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int AddTimerLocked(const ClockPlan& plan, uint64_t cookie, uint16_t flags, Handle* handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ClearIndex(uint8_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int JoinAxes(uint8_t index, bool relative_on_monotonic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int Grow(uint8_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void LeaveAxes(uint8_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // dump.cc
  void DumpLocked(LineWriter& out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // arming.cc
  void NotifyAt(uint8_t index, Nanoseconds deadline);

  // indexing.cc
  void DrainInbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Visit(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Reindex(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Nanoseconds Place(uint32_t slot, TimerSlot& timer, uint8_t index, Nanoseconds deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void BringNear(AxisIndex& axis, Nanoseconds until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void PassTo(AxisIndex& axis, Nanoseconds now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Unindex(TimerSlot& timer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Release(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void FreeReleased() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool Agrees(const AxisIndex& axis, const HeapEntry& entry, AxisDeadline wanted) const;
  bool Overtaken(const AxisIndex& axis, const HeapEntry& entry) const;
  void CleanTop(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // collector.cc
  unsigned Collect(unsigned min, unsigned max, ukevent* events, unsigned* due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  struct Batch;
  Batch TakeAndAsk(unsigned max, ukevent* events, KeventSet* set)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Batch Count(unsigned min, unsigned max, KeventSet* set, unsigned* due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned ClaimTimers(unsigned max, ukevent* events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned Take(unsigned max, ukevent* events, KeventSet* set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static bool CountKevents(unsigned wanted, bool more, KeventSet* set);
  unsigned ShareOfKevents(unsigned max) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned RoomForKevents(unsigned min, unsigned max, unsigned timers) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReadClocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  AxisIndex* LongestDue(Nanoseconds* late_by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool Claim(AxisIndex& axis, ukevent* event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned NearTimers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned CountDue(unsigned limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void CountDueBelow(AxisIndex& axis, uint32_t position, unsigned limit, unsigned* count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Nanoseconds NextNotDue(AxisIndex& axis) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static Nanoseconds NextOf(const AxisIndex& axis, const HeapEntry& entry);
  Nanoseconds NextNotDueBelow(AxisIndex& axis, uint32_t position)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // settling.cc
  bool Settle(bool found_nothing, bool withdrawn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool LookAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void AnnounceAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Doorbell::Members EpollMembers() const;

  // waiting.cc
  void Enlist(Sleeper& sleeper, unsigned due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Leave(Sleeper& sleeper) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int Hold() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void StopHolding(const Sleeper& sleeper) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  unsigned HoldersDescriptors(pollfd* descriptors) const;

  Lock lock_;  // taken by collectors, timer_create and timer_delete

  Lifetime lifetime_;
  uint32_t number_;
  QueueMemory* memory_;

  std::atomic<int> io_signal_;
  Doorbell doorbell_;
  bool kevents_first_ ABSL_GUARDED_BY(lock_);  // whose turn it is when there is room for one
  EventRing ring_;

  std::atomic<uint32_t> deleted_;  // timers that wait for Release
  uint32_t timers_ ABSL_GUARDED_BY(lock_);

  // Of this collection: how late the last claimed was, and whether one that is
  // later was armed after that, which is for the next.
  Nanoseconds batch_late_ ABSL_GUARDED_BY(lock_);
  bool out_of_order_ ABSL_GUARDED_BY(lock_);

  // Slots that Release has unlinked, to be freed together; plus one.
  uint32_t released_first_ ABSL_GUARDED_BY(lock_);
  uint32_t released_last_ ABSL_GUARDED_BY(lock_);
  uint32_t released_count_ ABSL_GUARDED_BY(lock_);

  Sleepers sleepers_ ABSL_GUARDED_BY(lock_);

  Inbox inbox_;
  AxisIndex axes_[kMaxAxes];
};

class Queue::NumbersUsed : private Doorbell::NumbersUsed {
 public:
  explicit NumbersUsed(Queue& queue) : Doorbell::NumbersUsed(queue.doorbell_) {}
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_H_
