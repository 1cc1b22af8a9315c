// SPDX-License-Identifier: MIT

#include "core/aio/engine.h"

#include <pthread.h>

#include <cerrno>

#include "core/aio/aiocb_access.h"
#include "core/base/probe.h"
#include "core/descriptors/kept_table.h"
#include "core/descriptors/process_state.h"
#include "core/operations/completions.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

constinit std::atomic<uint32_t> AioEngine::in_flight_{0};

void AioEngine::Init() {
  staffing_.Init();
  lock_.Init();
  submitting_.Init();
  reads_.Init();
  in_flight_.store(0, std::memory_order_relaxed);
  IoOrdering::Forget();
}

// ---- Beginning ------------------------------------------------------------------

int AioEngine::Begin(uint32_t number) {
  IoOrdering::Runnable one;
  one.Append(number);
  IoOrdering::Runnable refused;
  BeginAll(&one, &refused);
  return refused.first == 0 ? 0 : EAGAIN;
}

void AioEngine::BeginAll(IoOrdering::Runnable* operations, IoOrdering::Runnable* refused) {
  const int loaded = sys::LoadRing();
  const SignalsBlocked blocked;
  const TableUser user;
  // The queue was closed meanwhile, and a thread with another table has made one.
  if (!Process::SharesTable()) {
    refused->Append(*operations);
    *operations = {};
    return;
  }
  bool chosen = false;
  while (operations->first != 0) {
    Lack lack;
    bool is_short;
    {
      const Locked locked(lock_);
      lack = BeginStaffed(chosen, operations, refused);
      is_short = IsShort();  // the ring may have been lost, or not have heard its bell
    }
    if (is_short) StaffUp();
    chosen |= lack == Lack::kBackend;
    if (lack == Lack::kNothing || Supply(lack, loaded) == 0) continue;
    // Without a backend none of the other operations can begin either.
    do {
      refused->Append(operations->Take() - 1);
    } while (lack == Lack::kBackend && operations->first != 0);
  }
}

// Begins operations as long as there is a thread for them; returns what the first other one lacks.
// They are handed over together, lest a thread wakes up for the first one alone.
AioEngine::Lack AioEngine::BeginStaffed(bool chosen, IoOrdering::Runnable* operations,
                                        IoOrdering::Runnable* refused) {
  if (backend_ == Backend::kUnknown && !chosen) return Lack::kBackend;
  Lack lack = Lack::kNothing;
  IoOrdering::Runnable runnable;
  while (operations->first != 0) {
    const uint32_t number = operations->first - 1;
    lack = LackOf(number);
    if (lack != Lack::kNothing) break;
    operations->Take();
    Operation& operation = Operations::At(number);
    operation.pooled = !IsForRing(number);
    operation.uncertain = IsUncertain(number);
    IoOrdering::Runnable begun;
    if (files_.Add(number, &begun) != 0) {
      refused->Append(number);
      continue;
    }
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    operation.by_thread = IsToldByThread(number);
    if (operation.by_thread) ++told_by_thread_;
    if (operation.uncertain) ++uncertain_;
    if (operation.blocks) ++blocking_;
    runnable.Append(begun);
  }
  Hand(runnable);
  return lack;
}

bool AioEngine::IsBeingWritten(const sys::Transfer& read) {
  if (!IoOrdering::any_writes()) return false;
  const SignalsBlocked blocked;
  const Locked locked(lock_);
  return files_.IsBeingWritten(read);
}

bool AioEngine::IsInUse(int fd) {
  const SignalsBlocked blocked;
  const Locked locked(lock_);
  return files_.Find(fd) != 0;
}

void AioEngine::Hand(IoOrdering::Runnable runnable) {
  bool ring = false;
  bool pool = false;
  while (const uint32_t link = runnable.Take()) {
    if (IsForRing(link - 1)) {
      for_ring_.Append(link - 1);
      ring = true;
    } else if (files_.TakeTurn(link - 1)) {
      for_pool_.Append(link - 1);
      pool = true;
    }
  }
  if (ring) RingBell();
  if (pool) WakePool();
}

// Takes the next operation to be started: its number plus one, or 0.
uint32_t AioEngine::TakeHanded(IoOrdering::Runnable* handed) {
  const uint32_t link = handed->Take();
  if (link == 0) return 0;
  Operations::At(link - 1).state = State::kStarted;
  return link;
}

sys::Transfer AioEngine::Rest(const Operation& operation) {
  sys::Transfer rest = operation.transfer;
  if (operation.given_up) rest.kind = sys::Transfer::Kind::kNothing;
  rest.buffer = static_cast<char*>(rest.buffer) + operation.moved;
  rest.bytes -= operation.moved;
  if (rest.offset != sys::Transfer::kStream) rest.offset += static_cast<int64_t>(operation.moved);
  return rest;
}

// ---- Ending ---------------------------------------------------------------------

namespace {

// The result, including bytes that were moved before.  A read that its call has begun and that was
// then cancelled counts as not done; a write of a part counts.
int64_t Total(const Operation& operation, int64_t result) {
  const auto moved = static_cast<int64_t>(operation.moved);
  if (moved == 0) return result;
  if (result == -ECANCELED && operation.transfer.kind == sys::Transfer::Kind::kRead) return result;
  return moved + (result > 0 ? result : 0);
}

}  // namespace

// Stores the result where the C library's aio_error and aio_return read it.  With the last store
// the control block is the program's own again, which may begin it anew at once, with the C library
// perhaps: so before that it is no longer the library's.
//
// An operation that cannot be notified of by its signal has failed, as in the C library, whatever
// it has done.
void AioEngine::SetResult(Operation* operation, int64_t result) {
  if (operation->notifies_in_vain) result = -EINVAL;
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  const int64_t value = result < 0 ? -1 : result;
  operation->data[0] = static_cast<uint32_t>(value);
  operation->data[1] = static_cast<uint32_t>(error);
  aiocb* control = operation->control.exchange(nullptr, std::memory_order_seq_cst);
  if (control == nullptr) return;  // a file was read ahead
  KEVENT_PROBE(aio_end, control, value, error);
  control->__return_value = value;
  std::atomic_ref(control->__error_code).store(error, std::memory_order_seq_cst);
}

// Takes the operation out of those in flight, for aio_cancel and for aio_error.
void AioEngine::Retire(uint32_t number, int64_t result) {
  Operation& operation = Operations::At(number);
  if (operation.blocks) --blocking_;
  if (operation.uncertain) --uncertain_;
  SetResult(&operation, Total(operation, operation.given_up ? -ECANCELED : result));
  in_flight_.fetch_sub(1, std::memory_order_seq_cst);
}

void AioEngine::AwaitRetired() {
  const SignalsBlocked blocked;
  const Locked locked(lock_);
}

// A completion for a queue is posted before any thread can ask for another operation on the same
// place, which would be posted first if it were done at once.  Other notifications are not made
// under a lock, nor are those of lists, which may be of another kind.
void AioEngine::End(uint32_t number, int64_t result, Notifier* notifier, IoOrdering::Runnable* done,
                    IoOrdering::Runnable* next) {
  files_.Remove(number, next);
  Retire(number, result);
  const Operation& operation = Operations::At(number);
  if (operation.notify == Operation::Notify::kQueue && operation.list == 0) {
    Tell(number, notifier);
  } else {
    done->Append(number);
  }
}

// The operation plus one that the thread of the pool goes on with, without waking another one: the
// first that has waited for the one that has ended, if no operation waits for a thread.  With
// `awaited`, only a write for which close waits once it has begun.
uint32_t AioEngine::GoOnWith(IoOrdering::Runnable* next, bool awaited) {
  while (for_pool_.first == 0 && next->first != 0 && !IsForRing(next->first - 1)) {
    if (awaited && !Operations::At(next->first - 1).takes_turns) break;
    const uint32_t number = next->Take() - 1;
    if (!files_.TakeTurn(number)) continue;
    Operations::At(number).state = State::kStarted;
    pool_.TakeWork();
    return number + 1;
  }
  return 0;
}

// Called by a thread of the pool, which only has to notify before it is free, or goes on with the
// operation that this returns, plus one.  The program may close the descriptor when it is notified:
// an operation for which close does not wait has not begun by then.
uint32_t AioEngine::Ended(uint32_t number, int64_t result) {
  IoOrdering::Runnable done;
  IoOrdering::Runnable next;
  uint32_t own;
  {
    Notifier notifier;
    const Locked locked(lock_);
    pool_.EndWork();
    End(number, result, &notifier, &done, &next);
    own = GoOnWith(&next, true);
  }
  Finish(&done);
  const uint32_t other = HandOn(next, own == 0);
  return own != 0 ? own : other;
}

// Operations that waited for these begin after the notifications, but for those by a new thread.
void AioEngine::TellAll(IoOrdering::Runnable* done, const IoOrdering::Runnable& next) {
  Finish(done);
  HandOn(next, false);
}

// Hands on what has waited for others; all but the operation, plus one, that a thread of the pool
// goes on with itself, if the caller is such a thread and `takes_one`.
uint32_t AioEngine::HandOn(IoOrdering::Runnable next, bool takes_one) {
  if (next.first == 0) return 0;
  uint32_t own;
  bool is_short;
  {
    const Locked locked(lock_);
    own = takes_one ? GoOnWith(&next, false) : 0;
    Hand(next);
    is_short = IsShort();
  }
  if (is_short) StaffUp();  // not as long as the ring takes what is for it
  return own;
}

// Called without the lock: the notification of an operation that its call has done may make a
// thread, and wait for it.  Those that have begun leave that to another thread.
void AioEngine::Finish(IoOrdering::Runnable* done) {
  IoOrdering::Runnable by_thread;
  uint32_t count = 0;
  {
    Notifier notifier;
    while (const uint32_t link = done->Take()) {
      if (Operations::At(link - 1).by_thread) {
        TellButByThread(link - 1, &notifier, &by_thread);
        ++count;
      } else {
        Tell(link - 1, &notifier);
      }
    }
  }
  if (count != 0) LeaveToTell(by_thread, count);
  WakeSuspended();
}

void AioEngine::WakeSuspended() {
  finished_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) sys::FutexWakeAll(&finished_);
}

void AioEngine::Tell(uint32_t number, Notifier* notifier) {
  const Operation& operation = Operations::At(number);
  const uint32_t list = operation.list;
  const bool failed = operation.data[1] != 0;
  notifier->Complete(number);
  if (list != 0 && CompletesList(list - 1, failed)) notifier->Complete(list - 1);
}

void AioEngine::FinishMember(uint32_t list) {
  if (CompletesList(list, false)) Notifier().Complete(list);
}

// Counts a member as done; true if it was the last one, and the list is to be notified.
bool AioEngine::CompletesList(uint32_t number, bool failed) {
  Operation& list = Operations::At(number);
  if (failed) list.failed.fetch_add(1, std::memory_order_relaxed);
  if (list.missing.fetch_sub(1, std::memory_order_seq_cst) != 1) return false;
  list.data[1] = list.failed.load(std::memory_order_relaxed);
  return true;
}

// ---- Waiting --------------------------------------------------------------------

int AioEngine::Sleep(uint32_t seen, const timespec* deadline) {
  int result;
  pthread_cleanup_push(&AioEngine::Cancelled, this);
  result = deadline == nullptr ? sys::FutexWaitCancellablyRestarted(&finished_, seen)
                               : sys::FutexWaitCancellably(&finished_, seen, deadline);
  pthread_cleanup_pop(0);
  return result;
}

void AioEngine::Cancelled(void* engine) {
  static_cast<AioEngine*>(engine)->sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace kevent::core
