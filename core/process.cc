// SPDX-License-Identifier: MIT

#include "core/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>

#include <cerrno>

#include "core/internal_descriptors.h"
#include "core/range_closes.h"
#include "core/registry.h"
#include "core/signals_blocked.h"
#include "core/system.h"

namespace kevent::core {
namespace {

// What a child of fork finds zeroed: there the process has no timers, and its
// queues are to be made anew.
struct Wiped {
  enum : uint32_t { kNobodys, kBeingPrepared, kInhabited };
  std::atomic<uint32_t> state;
  SlotTable slots;
  AioEngine aio;
  Lookups lookups;
  Lock queues_lock;
  std::atomic<bool> any_uncleared;
  AlarmThread alarm_thread;
};

// What it finds as it was.  Constant-initialised: calls may come before any
// constructor of ours.
constinit std::atomic<Wiped*> g_wiped{nullptr};
constinit std::atomic<int> g_owner{0};
constinit std::atomic<Queue*> g_queues[kMaxQueues] = {};
constinit std::atomic<QueueMemory*> g_queue_memory[kMaxQueues] = {};
constinit std::atomic<bool> g_fork_handled{false};

// The thread has asked for a table of descriptors of its own; it has one if others used
// the process's.
thread_local constinit bool t_asked_for_table = false;

Wiped& State() { return *g_wiped.load(std::memory_order_acquire); }

void Inhabit(Wiped& state) {
  state.slots.Init();
  state.aio.Init();
  state.lookups.Init();
  state.queues_lock.Init();
  state.alarm_thread.Init();
  g_owner.store(sys::ProcessId(), std::memory_order_release);
}

bool IsInhabited(const Wiped& state) {
  return state.state.load(std::memory_order_acquire) == Wiped::kInhabited;
}

// Maps the pages of a queue number that was never used: 0 or an errno.
int MapQueue(uint32_t number) {
  QueueMemory* memory = g_queue_memory[number].load(std::memory_order_relaxed);
  if (memory == nullptr) {
    const int error = sys::MapPages(sizeof(QueueMemory), sys::OnFork::kKeep, &memory);
    if (error < 0) return -error;
    g_queue_memory[number].store(memory, std::memory_order_release);
  }
  Queue* queue;
  const int error = sys::MapPages(sizeof(Queue), sys::OnFork::kWipe, &queue);
  if (error < 0) return -error;
  g_queues[number].store(queue, std::memory_order_release);
  return 0;
}

}  // namespace

int Process::Start() {
  // Without a lock, which a fork could leave held in the child.
  if (!g_fork_handled.exchange(true, std::memory_order_acq_rel)) {
    if (const int error = sys::AtForkInChild(&Process::PrepareChildOfFork); error != 0) {
      g_fork_handled.store(false, std::memory_order_release);
      return -error;
    }
  }
  Wiped* state = g_wiped.load(std::memory_order_acquire);
  if (state == nullptr) {
    Wiped* fresh;
    const int error = sys::MapPages(sizeof(Wiped), sys::OnFork::kWipe, &fresh);
    if (error < 0) return -error;
    Inhabit(*fresh);
    fresh->state.store(Wiped::kInhabited, std::memory_order_release);
    if (g_wiped.compare_exchange_strong(state, fresh, std::memory_order_acq_rel)) {
      state = fresh;
    } else {
      sys::UnmapPages(fresh, sizeof(Wiped));
    }
  }
  if (!IsInhabited(*state)) PrepareChild(false);
  return 0;
}

int Process::owner() { return g_owner.load(std::memory_order_acquire); }

int Process::id() { return IsInhabited(State()) ? g_owner.load(std::memory_order_acquire) : 0; }

void Process::AskedForTable() { t_asked_for_table = true; }

void Process::PrepareIfForked() {
  const Wiped* state = g_wiped.load(std::memory_order_acquire);
  if (state != nullptr && !IsInhabited(*state)) PrepareChild(false);
}

bool Process::Owns() {
  PrepareIfForked();
  const Queue* queue;
  for (uint32_t number = 0; (queue = FindQueue(number)) != nullptr; ++number) {
    if (!queue->open()) continue;
    const Queue::Table table = queue->CallersTable();
    if (table != Queue::Table::kUnknown) return table == Queue::Table::kIts;
  }
  return !t_asked_for_table && sys::ProcessId() == g_owner.load(std::memory_order_acquire);
}

bool Process::Owns(uint32_t queue) {
  PrepareIfForked();
  const Queue::Table table = QueueAt(queue).CallersTable();
  return table == Queue::Table::kUnknown ? Owns() : table == Queue::Table::kIts;
}

Queue& Process::QueueAt(uint32_t number) {
  return *g_queues[number].load(std::memory_order_acquire);
}

Queue* Process::FindQueue(uint32_t number) {
  return number < kMaxQueues ? g_queues[number].load(std::memory_order_acquire) : nullptr;
}

SlotTable& Process::slots() { return State().slots; }

AioEngine& Process::aio() { return State().aio; }

Lookups& Process::lookups() { return State().lookups; }

// To modify a member as it is changes nothing; and of an epoll that does not have it
// nothing either, whoever's that is.
bool Process::IsNameOf(int fd, uint32_t queue) {
  const std::atomic<int>& number = g_queue_memory[queue].load()->monotonic_timerfd;
  for (;;) {
    const int member = number.load() - 1;
    if (sys::IsMarked(fd) && OwnsDescriptor(member, queue, kMonotonicAxis) &&
        sys::EpollModify(fd, member, EPOLLIN) == 0) {
      return true;
    }
    // Not if dup2 in another thread has it moved meanwhile.
    if (number.load() - 1 == member) return false;
  }
}

void Process::HasUncleared() { State().any_uncleared.store(true, std::memory_order_seq_cst); }

// A thread that holds the other lock may be about to do it.
void Process::ClearClosed() {
  Lock& lock = State().queues_lock;
  if (!lock.TryAcquire()) return;
  ClearClosedLocked();
  lock.Release();
}

void Process::ClearClosedLocked() {
  if (!State().any_uncleared.exchange(false, std::memory_order_seq_cst)) return;
  for (uint32_t number = 0; number < kMaxQueues; ++number) {
    Queue* const queue = g_queues[number].load(std::memory_order_acquire);
    if (queue == nullptr) return;
    queue->Reusable();
  }
}

int Process::OpenQueue(Queue** opened) {
  Locked locked(State().queues_lock);
  ClearClosedLocked();
  for (uint32_t number = 0; number < kMaxQueues; ++number) {
    Queue* queue = g_queues[number].load(std::memory_order_acquire);
    if (queue == nullptr) {
      if (const int error = MapQueue(number); error != 0) return error;
      queue = &QueueAt(number);
    } else if (!queue->Reusable()) {
      continue;
    }
    if (const int error = queue->Open(number, g_queue_memory[number]); error != 0) return error;
    *opened = queue;
    return 0;
  }
  return EMFILE;
}

AlarmThread& Process::alarm_thread() { return State().alarm_thread; }

// ---- fork -----------------------------------------------------------------------

// In the child of a fork: plain stores and system calls.  The kernel has wiped
// timers, indexes and locks.
//
// One thread does it; others, which a child that no handler has prepared may have
// by now, wait for it.  A handler must not, and so there is none meanwhile.
void Process::PrepareChild(bool of_fork) {
  Wiped* state = g_wiped.load(std::memory_order_acquire);
  if (state == nullptr) return;
  const SignalsBlocked blocked;
  uint32_t nobodys = Wiped::kNobodys;
  if (!state->state.compare_exchange_strong(nobodys, Wiped::kBeingPrepared)) {
    while (!IsInhabited(*state)) sys::Pause();
    return;
  }
  Lock::SetPassesPriority(of_fork);
  const bool shares = !of_fork && SharesTableWithParent();
  t_asked_for_table = false;
  Inhabit(*state);
  Registry::ForgetCalls();
  RangeCloses::Forget();
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  if (shares) {
    // Whatever is done to a number is done to the parent's.
    for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
      Registry::Take(fd);
    }
  }
  DropWhatIsNotOurs();
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    if (!Registry::Get(fd).is_internal()) continue;
    Registry::Take(fd);
    sys::Close(fd);
  }
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    if (Registry::Get(fd).is_name()) InheritNames(fd);
  }
  state->state.store(Wiped::kInhabited, std::memory_order_release);
}

void Process::PrepareChildOfFork() { PrepareChild(true); }

// A child of clone(CLONE_FILES) has memory of its own and its parent's descriptors.
// The lock on a queue's file belongs to the table; in a copy of it, it is in the way.
// The parent goes on with its numbers meanwhile, and one of them may be of another file
// by now: that has no lock.  None has when the parent has ended.
bool Process::SharesTableWithParent() {
  bool any = false;
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (!found.is_internal() || found.role() != kRoleAlwaysReady) continue;
    any = true;
    const bool in_table = sys::InTableOf(fd);
    if (sys::IsLocked(fd) && sys::IsMarked(fd)) return in_table;
  }
  return any && sys::ProcessExists(g_owner.load(std::memory_order_acquire));
}

// The registry says which descriptors were inherited; but the parent may have
// closed some by system calls that we don't see, or been about to.  What is left
// shares its kernel objects with the parent, so nothing is done to it but to
// close it.  What was just made has no mark yet, and nobody else has it.
void Process::DropWhatIsNotOurs() {
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (found.is_new()) continue;
    if (found.is_closing() || !sys::IsMarked(fd)) Registry::Take(fd);
  }
}

// Puts a fresh queue under a number that named one in the parent.  Where that
// fails the number is closed rather than left to the parent's queue.
void Process::InheritNames(int fd) {
  const uint32_t number = Registry::Get(fd).queue();
  Queue& queue = QueueAt(number);
  bool inherited = false;
  if (queue.open() || queue.Open(number, g_queue_memory[number]) == 0) {
    const int flags = sys::StatusFlags(fd);
    const bool close_on_exec = (sys::DescriptorFlags(fd) & FD_CLOEXEC) != 0;
    queue.AddName();
    inherited = sys::DuplicateTo(queue.epoll(), fd, close_on_exec ? O_CLOEXEC : 0) >= 0;
    if (inherited) {
      sys::SetStatusFlags(fd, flags);
    } else {
      queue.DropName();
    }
  }
  if (!inherited) {
    Registry::Take(fd);
    sys::Close(fd);
  }
}

}  // namespace kevent::core
