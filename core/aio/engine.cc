// SPDX-License-Identifier: MIT

#include "core/aio/engine.h"

#include <pthread.h>

#include <cerrno>

#include "core/aio/aiocb_access.h"
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
  int32_t for_pool = 0;
  while (operations->first != 0) {
    const uint32_t number = operations->first - 1;
    lack = LackOf(number);
    if (lack != Lack::kNothing) break;
    operations->Take();
    IoOrdering::Runnable begun;
    if (files_.Add(number, &begun) != 0) {
      refused->Append(number);
      continue;
    }
    if (begun.first != 0 && !IsForRing(number)) {
      const auto queued = static_cast<int32_t>(for_pool_.count) + for_pool;
      if (queued >= idle_ && threads_ < kMaxThreads) {
        // The operation would be left waiting for a thread that may be busy for ever.
        IoOrdering::Runnable none;
        files_.Remove(number, &none);
        operations->Prepend(number);
        lack = Lack::kPoolThread;
        break;
      }
      ++for_pool;
    }
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    Operation& operation = Operations::At(number);
    operation.by_thread = IsToldByThread(number);
    if (operation.by_thread) ++told_by_thread_;
    if (operation.blocks) ++blocking_;
    runnable.Append(begun);
  }
  Hand(runnable);
  return lack;
}

// An operation may have to wait for others first: then a thread must be there that stays.
AioEngine::Lack AioEngine::LackOf(uint32_t number) const {
  if (IsToldByThread(number) && telling_thread_ != Presence::kRunning) {
    return Lack::kTellingThread;
  }
  if (IsForRing(number)) {
    return ring_thread_ == Presence::kRunning ? Lack::kNothing : Lack::kRingThread;
  }
  return threads_ > 0 ? Lack::kNothing : Lack::kPoolThread;
}

// Returns 0 if another look may find that nothing is lacking any more, or EAGAIN.
int AioEngine::Supply(Lack lack, int loaded) {
  const Locked staffing(staffing_);
  switch (lack) {
    case Lack::kBackend:
      return Choose(loaded);
    case Lack::kRingThread:
      return StartRing();
    case Lack::kTellingThread:
      return StartTelling();
    case Lack::kPoolThread: {
      // Other threads may have made some meanwhile.
      {
        const Locked locked(lock_);
        const bool any_free = static_cast<int32_t>(for_pool_.count) < idle_;
        if (any_free || threads_ >= kMaxThreads) return 0;
      }
      return AddThread();
    }
    case Lack::kNothing:
      break;
  }
  return 0;
}

bool AioEngine::IsBeingWritten(const sys::Transfer& read) {
  if (!IoOrdering::any_writes()) return false;
  const SignalsBlocked blocked;
  const Locked locked(lock_);
  return files_.IsBeingWritten(read);
}

// Chooses the ring or the pool, when the first operation comes that finds what the choice takes.
// Returns 0 or EAGAIN, aio_read's error if anything is lacking.
int AioEngine::Choose(int loaded) {
  {
    const Locked locked(lock_);
    if (backend_ != Backend::kUnknown) return 0;
  }
  switch (loaded == 0 ? OpenRing() : loaded) {
    case 0:
      for (;;) {
        {
          const Locked locked(lock_);
          // An operation that waits for one of the pool's now is for the ring later, when perhaps
          // no thread can be made.
          const bool any_for_ring = in_flight_.load(std::memory_order_relaxed) != blocking_;
          if (!any_for_ring || ring_thread_ == Presence::kRunning) {
            backend_ = Backend::kRing;
            return 0;
          }
        }
        if (StartRing() != 0) return EAGAIN;
      }
    case -EAGAIN:
    case -EMFILE:
    case -ENFILE:
      return EAGAIN;  // a descriptor may be there another time
    case -ENOMEM:
      // Memory may be there another time as well; but if locked memory is limited (before Linux
      // 5.12), it may never be.
      return 0;
    default: {
      const Locked locked(lock_);
      backend_ = Backend::kPool;
      return 0;
    }
  }
}

bool AioEngine::IsForRing(uint32_t number) const {
  return backend_ == Backend::kRing && !Operations::At(number).blocks;
}

// True if the pool was handed more operations than it has free threads, and may have more threads.
bool AioEngine::IsShort() const {
  return HasUnrung() || (static_cast<int32_t>(for_pool_.count) > idle_ && threads_ < kMaxThreads);
}

// Makes the threads that are lacking for the operations that were handed on.  If none can be made,
// the next operation that begins or ends tries again, and the ring's thread, if there is one, does
// each second.
void AioEngine::StaffUp() {
  const Locked staffing(staffing_);
  for (;;) {
    {
      const Locked locked(lock_);
      if (!IsShort()) return;
    }
    const bool added = AddThread() == 0;
    const Locked locked(lock_);
    if (!added || for_ring_.first != 0) RingBell();
    if (!added) return;
  }
}

// Starts a thread of which there is one: 0 or EAGAIN.
int AioEngine::StartOne(Presence* presence, void (*run)(void*), const char* name) {
  {
    const Locked locked(lock_);
    if (*presence != Presence::kAbsent) return 0;
    *presence = Presence::kStarting;
  }
  const bool started = sys::StartThread(run, this, name) >= 0;
  const Locked locked(lock_);
  // The thread may have ended already.
  if (*presence == Presence::kStarting) {
    *presence = started ? Presence::kRunning : Presence::kAbsent;
  }
  return started ? 0 : EAGAIN;
}

void AioEngine::Hand(IoOrdering::Runnable runnable) {
  bool ring = false;
  bool pool = false;
  while (const uint32_t link = runnable.Take()) {
    if (IsForRing(link - 1)) {
      for_ring_.Append(link - 1);
      ring = true;
    } else {
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
void AioEngine::SetResult(Operation* operation, int64_t result) {
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  const int64_t value = result < 0 ? -1 : result;
  operation->data[0] = static_cast<uint32_t>(value);
  operation->data[1] = static_cast<uint32_t>(error);
  aiocb* control = operation->control.exchange(nullptr, std::memory_order_seq_cst);
  control->__return_value = value;
  std::atomic_ref(control->__error_code).store(error, std::memory_order_seq_cst);
}

// Takes the operation out of those in flight, for aio_cancel and for aio_error.
void AioEngine::Settle(uint32_t number, int64_t result) {
  Operation& operation = Operations::At(number);
  if (operation.blocks) --blocking_;
  if (operation.by_thread) --told_by_thread_;
  SetResult(&operation, Total(operation, operation.given_up ? -ECANCELED : result));
  in_flight_.fetch_sub(1, std::memory_order_seq_cst);
}

void AioEngine::AwaitSettled() {
  const SignalsBlocked blocked;
  const Locked locked(lock_);
}

// A completion for a queue is posted before any thread can ask for another operation on the same
// place, which would be posted first if it were done at once.  Other notifications are not made
// under a lock, nor are those of lists, which may be of another kind.
void AioEngine::End(uint32_t number, int64_t result, Notifier* notifier, IoOrdering::Runnable* done,
                    IoOrdering::Runnable* next) {
  files_.Remove(number, next);
  Settle(number, result);
  const Operation& operation = Operations::At(number);
  if (operation.notify == Operation::Notify::kQueue && operation.list == 0) {
    Tell(number, notifier);
  } else {
    done->Append(number);
  }
}

// Called by a thread of the pool, which only has to notify before it is free.
void AioEngine::Ended(uint32_t number, int64_t result) {
  IoOrdering::Runnable done;
  IoOrdering::Runnable next;
  {
    Notifier notifier;
    const Locked locked(lock_);
    ++idle_;
    End(number, result, &notifier, &done, &next);
  }
  TellAll(&done, next);
}

// Operations that waited for these begin after the notifications.
void AioEngine::TellAll(IoOrdering::Runnable* done, const IoOrdering::Runnable& next) {
  Finish(done);
  if (next.first == 0) return;
  bool is_short;
  {
    const Locked locked(lock_);
    Hand(next);
    is_short = IsShort();
  }
  if (is_short) StaffUp();
}

// Called without the lock: a notification may make a thread, and wait for it.
void AioEngine::Finish(IoOrdering::Runnable* done) {
  {
    Notifier notifier;
    while (const uint32_t link = done->Take()) Tell(link - 1, &notifier);
  }
  finished_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) sys::FutexWakeAll(&finished_);
}

void AioEngine::Tell(uint32_t number, Notifier* notifier) {
  const Operation& operation = Operations::At(number);
  const uint32_t list = operation.list;
  const bool failed = operation.data[1] != 0;
  notifier->Complete(number);
  if (list != 0) MemberDone(list - 1, failed, notifier);
}

void AioEngine::FinishMember(uint32_t list) {
  Notifier notifier;
  MemberDone(list, false, &notifier);
}

void AioEngine::MemberDone(uint32_t number, bool failed, Notifier* notifier) {
  Operation& list = Operations::At(number);
  if (failed) list.failed.fetch_add(1, std::memory_order_relaxed);
  if (list.missing.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  list.data[1] = list.failed.load(std::memory_order_relaxed);
  notifier->Complete(number);
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

// ---- Cancelling -----------------------------------------------------------------

namespace {

bool IsMeant(const Operation& operation, const aiocb* control) {
  return control == nullptr || operation.control.load(std::memory_order_acquire) == control;
}

}  // namespace

// Calls visit(number) for the operations of a descriptor in a state: for that of the control block,
// found without a look at the others, or for all.
template <typename Visit>
void AioEngine::ForEachMeant(int fd, const aiocb* control, State state, IoOrdering::From from,
                             Visit visit) {
  if (control == nullptr) {
    files_.ForEach(fd, from, [state, &visit](uint32_t number) {
      if (Operations::At(number).state == state) visit(number);
    });
    return;
  }
  const Operation* operation = MarkedBy(control);
  if (operation == nullptr || !IsMeant(*operation, control) || operation->file == 0) return;
  if (operation->transfer.fd != fd || operation->state != state) return;
  visit(Operations::NumberOf(*operation));
}

// Takes the operations of a descriptor back that were handed to a thread which has not begun with
// them, in one pass: there may be very many.
void AioEngine::TakeBack(IoOrdering::Runnable* handed, int fd, const aiocb* control, bool closing) {
  const uint32_t file = files_.Find(fd);
  IoOrdering::Runnable others;
  while (const uint32_t link = handed->Take()) {
    Operation& operation = Operations::At(link - 1);
    const bool is_of_file =
        control == nullptr ? operation.file == file : operation.transfer.fd == fd;
    if (is_of_file && IsMeant(operation, control) && (closing || !operation.begun)) {
      operation.state = State::kTakenBack;
    } else {
      others.Append(link - 1);
    }
  }
  *handed = others;
}

// True if a call is about to begin the operation and has not handed it over yet; those of a list
// are handed over together.
bool AioEngine::IsBeingBegun(const aiocb* control) {
  const Operation* operation = MarkedBy(control);
  return operation != nullptr && InProgress(control) && IsMeant(*operation, control) &&
         operation->file == 0;
}

AioEngine::Withdrawal AioEngine::Withdraw(int fd, const aiocb* control, bool closing) {
  Withdrawal withdrawal;
  const auto each = [&](State state, IoOrdering::From from, auto visit) {
    lock_.AssertHeld();
    ForEachMeant(fd, control, state, from, visit);
  };
  each(State::kStarted, IoOrdering::From::kOldest, [&](uint32_t number) {
    withdrawal.any_started = true;
    Operations::At(number).file_lost |= closing;
  });
  // Waiting operations come first, and of them the newest, lest they begin when the others go.
  IoOrdering::Runnable waiting;
  each(State::kWaiting, IoOrdering::From::kNewest, [&](uint32_t number) {
    lock_.AssertHeld();
    files_.GiveUp(number, &withdrawal.next);
    waiting.Prepend(number);
  });
  bool any_handed = false;
  each(State::kHanded, IoOrdering::From::kOldest, [&](uint32_t) { any_handed = true; });
  if (any_handed) {
    TakeBack(&for_ring_, fd, control, closing);
    TakeBack(&for_pool_, fd, control, closing);
    // These go on after a part, or Ended or another Cancel is about to hand them on.
    each(State::kHanded, IoOrdering::From::kOldest, [&](uint32_t number) {
      Operations::At(number).given_up |= closing;
      withdrawal.any_started = true;
    });
    each(State::kTakenBack, IoOrdering::From::kOldest, [&](uint32_t number) {
      lock_.AssertHeld();
      files_.Remove(number, &withdrawal.next);
      withdrawal.cancelled.Append(number);
    });
  }
  withdrawal.cancelled.Append(waiting);
  for (uint32_t link = withdrawal.cancelled.first; link != 0;
       link = Operations::At(link - 1).next.load(std::memory_order_relaxed)) {
    Settle(link - 1, -ECANCELED);
  }
  if (control != nullptr && IsBeingBegun(control)) withdrawal.any_started = true;
  withdrawal.any_cancelled = withdrawal.cancelled.first != 0;
  // close may come from any handler, so it makes no thread.  No operation waits for its
  // notifications: only operations of the closed file waited for these, and they have gone with it.
  if (closing) {
    LeaveToTell(&withdrawal.cancelled);
    files_.LetGo(fd);
  }
  return withdrawal;
}

int AioEngine::Cancel(int fd, const aiocb* control, bool closing) {
  const SignalsBlocked blocked;
  Withdrawal withdrawal;
  {
    const Locked locked(lock_);
    withdrawal = Withdraw(fd, control, closing);
  }
  // Once this lock was free, each operation that has begun is with the kernel, which holds the
  // file; or the kernel has refused it, and it is put back to end without its descriptor.
  if (closing && withdrawal.any_started) const Locked submitted(submitting_);
  TellAll(&withdrawal.cancelled, withdrawal.next);
  if (withdrawal.any_started) return AIO_NOTCANCELED;
  return withdrawal.any_cancelled ? AIO_CANCELED : AIO_ALLDONE;
}

void AioEngine::Lose(unsigned first, unsigned last) {
  if (first == last) {
    Cancel(static_cast<int>(first), nullptr, true);
    return;
  }
  for (uint32_t bucket = 0;;) {
    int fd;
    {
      const SignalsBlocked blocked;
      const Locked locked(lock_);
      fd = files_.AnyInUse(first, last, &bucket);
    }
    if (fd < 0) return;
    Cancel(fd, nullptr, true);
  }
}

}  // namespace kevent::core
