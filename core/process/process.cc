// SPDX-License-Identifier: MIT
//
// The process: how a fork changes the engine's state, and the page of it that the kernel wipes
// then.

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>

#include <cerrno>

#include "core/aio/engine.h"
#include "core/descriptors/kept_table.h"
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

// The process's table of descriptors, counted: while nothing uses one, a thread with another table
// may make the first queue, and the process has that table from then on.
constinit std::atomic<uint32_t> g_table{1};

// Each request for a table of descriptors of a thread's own has a number.  The thread has such a
// table only if others used the one that it had.
constinit std::atomic<uint32_t> g_table_requests{0};
// The number of the last request of the thread whose table is the process's, or 0: compared with
// the calling thread's where no lock tells.
constinit std::atomic<uint32_t> g_makers_table_request{0};

// What the library knows of the calling thread's table of descriptors.  One variable holds both
// numbers, since link-time optimisation aligns each thread-local variable by itself.
struct ThreadsTable {
  uint32_t shared;   // the table, as it is counted, that the thread is known to share
  uint32_t request;  // the number of its last request, or 0
};
thread_local constinit ThreadsTable t_table = {};

// The thread that has made the table the process's; 0: it is not known.
constinit std::atomic<int> g_maker{0};

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
    if (!found.is_internal()) continue;
    if (found.role() != kRoleAlwaysReady && found.role() != kRoleTable) continue;
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
  t_table.request = 0;
  g_makers_table_request.store(0, std::memory_order_seq_cst);
  g_maker.store(sys::ThreadId(), std::memory_order_seq_cst);
  g_table.fetch_add(1, std::memory_order_seq_cst);
  Inhabit(*state);
  KeptTable::Forget();
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
    if (!sys::ThreadIdIsKnown()) Lock::SetPassesPriority(false);
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
  int self = sys::ThreadId();
  g_maker.compare_exchange_strong(self, 0, std::memory_order_seq_cst);
  t_table.request = g_table_requests.fetch_add(1, std::memory_order_seq_cst) + 1;
  t_table.shared = 0;
  any_asked_for_table_.store(true, std::memory_order_seq_cst);
}

void Process::PrepareIfForked() {
  const Wiped* state = g_wiped.load(std::memory_order_acquire);
  if (state != nullptr && !IsInhabited(*state)) PrepareChild(false);
}

namespace {

// The queues live in one table, and so do the library's threads.  Any queue that can tell says if
// it is the caller's, or else the pipe that is kept for the threads.  The queues come first: one
// that is being closed has its pipe until it is kept.
Table CallersTable(bool* any_use) {
  *any_use = KeptTable::has_users();
  const Queue* queue;
  for (uint32_t number = 0; (queue = Queues::Find(number)) != nullptr; ++number) {
    *any_use |= queue->is_used();
    const Table table = queue->CallersTable();
    if (table != Table::kUnknown) return table;
  }
  return KeptTable::Callers();
}

// For a thread whose table no lock tells.  Once any thread has asked for a table of its own, the
// threads that it makes have that table as well, and have asked for none themselves: then the
// kernel is asked.  If it does not say, as the maker has ended, the thread passes for one of the
// process's: most threads are, and for one that is not the library's numbers would be a stranger's,
// which the program closes.
bool HasMakersTable() {
  if (t_table.request != g_makers_table_request.load(std::memory_order_seq_cst)) return false;
  const int maker = g_maker.load(std::memory_order_seq_cst);
  return !Process::any_asked_for_table() || maker == 0 || !sys::HasAnotherTableThan(maker);
}

}  // namespace

bool Process::Owns() {
  PrepareIfForked();
  bool any_use;
  const Table table = CallersTable(&any_use);
  if (table != Table::kUnknown) return table == Table::kIts;
  return HasMakersTable() && sys::ProcessId() == g_owner.load(std::memory_order_acquire);
}

// Without a use there is no table to differ from.
bool Process::SharesTableNow() {
  const uint32_t process_table = g_table.load(std::memory_order_seq_cst);
  if (t_table.shared == process_table) return true;
  PrepareIfForked();
  bool any_use;
  const Table table = CallersTable(&any_use);
  if (table == Table::kUnknown) return !any_use || HasMakersTable();
  if (table == Table::kAnother) return false;
  t_table.shared = process_table;
  return true;
}

// A call that hands something to a thread of the library's, or uses a queue, first counts itself as
// a user and then looks for the process's table.  Here the table is changed first, and the users
// are looked for again: one of the two sees the other.  A change that is taken back counts as
// another change, lest a later table has the number of this one.
bool Process::TakesTable() {
  bool any_use;
  Table table = CallersTable(&any_use);
  if (table == Table::kAnother) any_asked_for_table_.store(true, std::memory_order_seq_cst);
  if (table == Table::kUnknown && !any_use) {
    const uint32_t before =
        g_makers_table_request.exchange(t_table.request, std::memory_order_seq_cst);
    g_maker.store(sys::ThreadId(), std::memory_order_seq_cst);
    g_table.fetch_add(1, std::memory_order_seq_cst);
    table = CallersTable(&any_use);
    if (table == Table::kUnknown && !any_use) {
      KeptTable::DropPipe();
      return true;
    }
    g_maker.store(0, std::memory_order_seq_cst);  // the former maker may have left meanwhile
    g_makers_table_request.store(before, std::memory_order_seq_cst);
    g_table.fetch_add(1, std::memory_order_seq_cst);
  }
  return table == Table::kUnknown ? HasMakersTable() : table == Table::kIts;
}

bool Process::Owns(uint32_t queue) {
  PrepareIfForked();
  const Table table = Queues::At(queue).CallersTable();
  return table == Table::kUnknown ? Owns() : table == Table::kIts;
}

// ---- The state of each room that a fork wipes ----------------------------------

SlotTable& TimerSlots() { return State().slots; }
AioEngine& Aio() { return State().aio; }
Lookups& NameLookups() { return State().lookups; }
AlarmThread& Alarms() { return State().alarm_thread; }
Queues::Wiped& Queues::State() { return core::State().queues; }

}  // namespace kevent::core
