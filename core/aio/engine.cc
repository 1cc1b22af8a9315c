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
    // Without a way there is none for the others either.
    do {
      refused->Append(operations->Take() - 1);
    } while (lack == Lack::kBackend && operations->first != 0);
  }
}

// Begins those that somebody is there for, up to the first other one: what that lacks.
// Handed over together, lest those that do them wake up for the first one.
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
        // It would be left waiting for one that may be busy for ever.
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

// Of one that may have to wait for others first: then somebody must be there who stays.
AioEngine::Lack AioEngine::LackOf(uint32_t number) const {
  if (IsToldByThread(number) && telling_thread_ != Presence::kRunning) {
    return Lack::kTellingThread;
  }
  if (IsForRing(number)) {
    return ring_thread_ == Presence::kRunning ? Lack::kNothing : Lack::kRingThread;
  }
  return threads_ > 0 ? Lack::kNothing : Lack::kPoolThread;
}

// 0, when another look may find that nothing is lacking any more, or EAGAIN.
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
      // Others may have made some meanwhile.
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

// Which of the two ways, found out by the first operation that finds what it takes.  0
// or EAGAIN, which is what aio_read has for a lack of anything.
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
          // What waits for the pool's now is for the ring later, when perhaps no thread
          // can be made.
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
      return EAGAIN;  // it may be there another time
    case -ENOMEM:
      // The same; but where it is locked memory that is limited (before Linux 5.12)
      // it may never be.
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

// More was handed on to the pool than it has free threads for, and may have.
bool AioEngine::IsShort() const {
  return HasUnrung() || (static_cast<int32_t>(for_pool_.count) > idle_ && threads_ < kMaxThreads);
}

// Makes the threads that are lacking for what was handed on since it began.  Where none
// can be made, the next one that begins or ends tries again, and the ring's thread does, if
// there is one, each second.
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

// One of those threads that there is one of: 0 or EAGAIN.
int AioEngine::StartOne(Presence* presence, void (*run)(void*), const char* name) {
  {
    const Locked locked(lock_);
    if (*presence != Presence::kAbsent) return 0;
    *presence = Presence::kStarting;
  }
  const bool started = sys::StartThread(run, this, name) >= 0;
  const Locked locked(lock_);
  // It may have gone already.
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

// The number plus one of the next to be started, or 0.
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

// With what was moved before.  A read that was begun by its call and then
// cancelled has not been; but what was written is there.
int64_t Total(const Operation& operation, int64_t result) {
  const auto moved = static_cast<int64_t>(operation.moved);
  if (moved == 0) return result;
  if (result == -ECANCELED && operation.transfer.kind == sys::Transfer::Kind::kRead) return result;
  return moved + (result > 0 ? result : 0);
}

}  // namespace

// As the C library's aio_error and aio_return find it.  With the last store the control
// block is the program's own again, which may begin it anew at once, with the C library
// perhaps: so before that it is no longer ours.
void AioEngine::SetResult(Operation* operation, int64_t result) {
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  const int64_t value = result < 0 ? -1 : result;
  operation->data[0] = static_cast<uint32_t>(value);
  operation->data[1] = static_cast<uint32_t>(error);
  aiocb* control = operation->control.exchange(nullptr, std::memory_order_seq_cst);
  control->__return_value = value;
  std::atomic_ref(control->__error_code).store(error, std::memory_order_seq_cst);
}

// It is no longer in flight, by what aio_cancel says and by what aio_error does.
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

// One for a queue is posted before anybody can ask for another on the same place,
// which would be told of first if it were done at once.  Other ways of telling are
// not for a lock, nor are lists, which may be told of in another way.
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

// By a thread of the pool, which is free then but for the telling.
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

// Who waited for them begins once they were told of.
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

// Not under the lock: it may make a thread, and wait for it.
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

// Calls visit(number) for those of a descriptor in a state: one, found without a
// look at the others, or all.
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

// Those of a descriptor that were handed to a thread which has not begun with
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

// By a call that has not handed it over yet: a list's is, only with the others.
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
  // Those that wait come first, and of them the newest, lest they begin when the
  // others go.
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
    // To go on; or about to be handed on, by Ended or by another Cancel.
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
  // A call that may come from any handler makes no thread; nor has anything waited for
  // what a file that is closed had, but what has gone with it.
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
  // When this was free, what has begun is with the kernel, which holds the file, or
  // the kernel has refused it, and it is put back to end without its descriptor.
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
