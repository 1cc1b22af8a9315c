// SPDX-License-Identifier: MIT
//
// Operations that do not come to their end: aio_cancel, and close.

#include <cerrno>

#include "core/aio/aiocb_access.h"
#include "core/aio/engine.h"
#include "core/base/timespec.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

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
    Operation& operation = Operations::At(number);
    operation.file_lost |= closing;
    if (operation.has_turn) {
      withdrawal.write = number + 1;
      withdrawal.write_order = operation.order;
    }
  });
  // Waiting operations come first, and of them the newest, lest they begin when the others go.
  IoOrdering::Runnable waiting;
  each(State::kWaiting, IoOrdering::From::kNewest, [&](uint32_t number) {
    lock_.AssertHeld();
    files_.GiveUp(number, &withdrawal.next);
    waiting.Prepend(number);
  });
  uint32_t handed = 0;
  each(State::kHanded, IoOrdering::From::kOldest, [&](uint32_t number) { handed = number + 1; });
  if (handed != 0) {
    TakeBack(&for_ring_, fd, control, closing);
    TakeBack(&for_pool_, fd, control, closing);
    TakeBack(files_.AwaitingTurn(handed - 1), fd, control, closing);
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
    Retire(link - 1, -ECANCELED);
  }
  if (control != nullptr && IsBeingBegun(control)) withdrawal.any_started = true;
  withdrawal.any_cancelled = withdrawal.cancelled.first != 0;
  if (closing) files_.Detach(fd);
  return withdrawal;
}

// Waits for the end of a write to the page cache that a thread has begun by the descriptor: before
// the thread makes its system call the number must not be another file's.  One that takes longer
// than a second has long made it.
void AioEngine::AwaitWrite(uint32_t number, uint64_t order) {
  const timespec deadline = ToTimespec(sys::MonotonicNow() + kNanosecondsPerSecond);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  int result = 0;
  while (result != -ETIMEDOUT) {
    const uint32_t seen = finished_.load(std::memory_order_seq_cst);
    {
      const Locked locked(lock_);
      const Operation& operation = Operations::At(number);
      if (operation.file == 0 || operation.order != order) break;
    }
    result = sys::FutexWait(&finished_, seen, &deadline);
  }
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

// close may come from any handler, so it makes no thread: with `closing` no operation begins for
// those that have ended, since only operations of the closed file waited for them.
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
  if (closing && withdrawal.write != 0) AwaitWrite(withdrawal.write - 1, withdrawal.write_order);
  TellAll(&withdrawal.cancelled, withdrawal.next);
  if (withdrawal.any_started) return AIO_NOTCANCELED;
  return withdrawal.any_cancelled ? AIO_CANCELED : AIO_ALLDONE;
}

// Operations that begin meanwhile are not looked for: there would be no end of them while other
// threads go on beginning some.
void AioEngine::Lose(unsigned first, unsigned last) {
  if (first == last) {
    Cancel(static_cast<int>(first), nullptr, true);
    return;
  }
  uint64_t newest = 0;
  for (uint32_t bucket = 0;;) {
    int fd;
    {
      const SignalsBlocked blocked;
      const Locked locked(lock_);
      if (newest == 0) newest = files_.newest();
      fd = files_.AnyInUse(first, last, newest, &bucket);
    }
    if (fd < 0) return;
    Cancel(fd, nullptr, true);
  }
}

}  // namespace kevent::core
