// SPDX-License-Identifier: MIT
//
// The process: how a fork changes the engine's state, and the page of it that the kernel wipes
// then.

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>

#include <cerrno>

#include "core/aio/engine.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/range_closes.h"
#include "core/descriptors/registry.h"
#include "core/lookups/lookups.h"
#include "core/queue/alarm_thread.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"
#include "core/timers/slot_table.h"

namespace kevent::core {
namespace {

// State that a child of fork finds zeroed: there the process has no timers, and its queues are to
// be made anew.
struct Wiped {
  enum : uint32_t { kNobodys, kBeingPrepared, kInhabited };
  std::atomic<uint32_t> state;
  SlotTable slots;
  AioEngine aio;
  Lookups lookups;
  Queues::Wiped queues;
  AlarmThread alarm_thread;
};

// State that a child of fork finds unchanged.  Constant-initialised: calls may come before any
// constructor of the library.
constinit std::atomic<Wiped*> g_wiped{nullptr};
constinit std::atomic<int> g_owner{0};
constinit std::atomic<bool> g_fork_handled{false};

// True if the thread has asked for a table of descriptors of its own; it has one only if others
// used the process's table.
thread_local constinit bool t_asked_for_table = false;
// True if the thread's table is known to be the process's.
thread_local constinit bool t_shares_table = false;

Wiped& State() { return *g_wiped.load(std::memory_order_acquire); }

void Inhabit(Wiped& state) {
  state.slots.Init();
  state.aio.Init();
  state.lookups.Init();
  state.queues.Init();
  state.alarm_thread.Init();
  g_owner.store(sys::ProcessId(), std::memory_order_release);
}

bool IsInhabited(const Wiped& state) {
  return state.state.load(std::memory_order_acquire) == Wiped::kInhabited;
}

// ---- fork -----------------------------------------------------------------------

// True in a child of clone(CLONE_FILES), which has memory of its own and its parent's descriptors.
// The lock on a queue's file belongs to the table; in a copy of the table it is another's lock.
// The parent goes on with its numbers meanwhile, so one of them may name another file by now, which
// has no lock.  If the parent has ended, no file has one.
bool SharesTableWithParent() {
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

// Forgets registered numbers that are not this process's.  The registry says which descriptors were
// inherited; but the parent may have closed some by system calls that the library does not see, or
// been about to.  A descriptor that is left shares its kernel object with the parent, so the only
// thing done to it is to close it.  One that was just made has no mark yet, and no other thread has
// it.
void DropWhatIsNotOurs() {
  constexpr int kLast = Registry::kMaxDescriptor - 1;
  for (int fd = Registry::Next(0, kLast); fd >= 0; fd = Registry::Next(fd + 1, kLast)) {
    const Registration found = Registry::Get(fd);
    if (found.is_new()) continue;
    if (found.is_closing() || !sys::IsMarked(fd)) Registry::Take(fd);
  }
}

// Puts a fresh queue under a number that named one in the parent.  If that fails, the number is
// closed rather than left to the parent's queue.
void InheritNames(int fd) {
  const uint32_t number = Registry::Get(fd).queue();
  Queue& queue = Queues::At(number);
  bool inherited = false;
  if (Queues::OpenAnew(number) == 0) {
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

// Prepares the child of a fork, by plain stores and system calls.  The kernel has wiped timers,
// indexes and locks.
//
// One thread does it; other threads, which a child that no handler has prepared may have by now,
// wait for it.  A handler must not wait for the thread that it interrupts, so signals are blocked
// meanwhile.
void PrepareChild(bool of_fork) {
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
    // The table is the parent's: a change of a number here would change it there.
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

void PrepareChildOfFork() { PrepareChild(true); }

}  // namespace

// ---- The calling thread's process ----------------------------------------------

int Process::Start() {
  // An atomic and no lock: a fork could leave a lock held in the child.
  if (!g_fork_handled.exchange(true, std::memory_order_acq_rel)) {
    if (const int error = sys::AtForkInChild(&PrepareChildOfFork); error != 0) {
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

constinit std::atomic<bool> Process::any_asked_for_table_{false};

void Process::AskedForTable() {
  t_asked_for_table = true;
  t_shares_table = false;
  any_asked_for_table_.store(true, std::memory_order_seq_cst);
}

void Process::PrepareIfForked() {
  const Wiped* state = g_wiped.load(std::memory_order_acquire);
  if (state != nullptr && !IsInhabited(*state)) PrepareChild(false);
}

namespace {

// The queues live in one table; any queue that can tell says if it is the caller's.
Queue::Table CallersTable(bool* any_open) {
  *any_open = false;
  const Queue* queue;
  for (uint32_t number = 0; (queue = Queues::Find(number)) != nullptr; ++number) {
    if (!queue->open()) continue;
    *any_open = true;
    const Queue::Table table = queue->CallersTable();
    if (table != Queue::Table::kUnknown) return table;
  }
  return Queue::Table::kUnknown;
}

}  // namespace

bool Process::Owns() {
  PrepareIfForked();
  bool any_open;
  const Queue::Table table = CallersTable(&any_open);
  if (table != Queue::Table::kUnknown) return table == Queue::Table::kIts;
  return !t_asked_for_table && sys::ProcessId() == g_owner.load(std::memory_order_acquire);
}

// Without a queue there is no table to differ from: the first queue will live in the caller's.
bool Process::SharesTableNow() {
  if (t_shares_table) return true;
  PrepareIfForked();
  bool any_open;
  const Queue::Table table = CallersTable(&any_open);
  if (table == Queue::Table::kUnknown) return !any_open || !t_asked_for_table;
  t_shares_table = table == Queue::Table::kIts;
  return t_shares_table;
}

bool Process::Owns(uint32_t queue) {
  PrepareIfForked();
  const Queue::Table table = Queues::At(queue).CallersTable();
  return table == Queue::Table::kUnknown ? Owns() : table == Queue::Table::kIts;
}

// ---- The state of each room that a fork wipes ----------------------------------

SlotTable& TimerSlots() { return State().slots; }
AioEngine& Aio() { return State().aio; }
Lookups& NameLookups() { return State().lookups; }
AlarmThread& Alarms() { return State().alarm_thread; }
Queues::Wiped& Queues::State() { return core::State().queues; }

}  // namespace kevent::core
