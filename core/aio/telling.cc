// SPDX-License-Identifier: MIT
//
// The thread that notifies of operations whose notification is by a new thread (SIGEV_THREAD), and
// of lists that are notified so: making a thread takes memory, for which no thread that ends
// operations may wait (core/aio/staff.h).  The notifications that it makes are in the order in
// which the operations have ended; others do not wait for these.

#include <cerrno>

#include "core/aio/engine.h"
#include "core/base/timespec.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

bool IsByThread(const Operation& operation) {
  return operation.notify == Operation::Notify::kElsewhere &&
         operation.elsewhere.sigev_notify == SIGEV_THREAD;
}

}  // namespace

// True if the notification of the operation is by a new thread, or that of its list, which may
// complete with it.
bool AioEngine::IsToldByThread(uint32_t number) {
  const Operation& operation = Operations::At(number);
  return IsByThread(operation) ||
         (operation.list != 0 && IsByThread(Operations::At(operation.list - 1)));
}

// Notifies of such an operation as far as that is not by a new thread; puts what is left into
// `by_thread`: the operation itself, or its list if it has completed.
void AioEngine::TellButByThread(uint32_t number, Notifier* notifier,
                                IoOrdering::Runnable* by_thread) {
  const Operation& operation = Operations::At(number);
  if (IsByThread(operation)) {
    by_thread->Append(number);
    return;
  }
  const uint32_t list = operation.list - 1;
  const bool failed = operation.data[1] != 0;
  notifier->Complete(number);
  if (CompletesList(list, failed)) by_thread->Append(list);
}

// Leaves notifications to the thread.  `count` operations may no longer need it; it does not leave
// between.
void AioEngine::LeaveToTell(const IoOrdering::Runnable& by_thread, uint32_t count) {
  {
    const Locked locked(lock_);
    to_tell_.Append(by_thread);
    told_by_thread_ -= count;
  }
  if (by_thread.first == 0) return;
  telling_bell_.fetch_add(1, std::memory_order_seq_cst);
  sys::FutexWake(&telling_bell_);
}

// False if there was nothing to do for long, and nothing can come.
bool AioEngine::AwaitEnded(IoOrdering::Runnable* ended) {
  bool last_look = false;
  for (;;) {
    uint32_t seen;
    {
      const Locked locked(lock_);
      *ended = to_tell_;
      to_tell_ = {};
      if (ended->first != 0) return true;
      if (last_look && told_by_thread_ == 0) {
        telling_thread_.Leave();
        return false;
      }
      seen = telling_bell_.load(std::memory_order_seq_cst);
    }
    const timespec end = ToTimespec(sys::MonotonicNow() + kNanosecondsPerSecond);
    last_look = sys::FutexWait(&telling_bell_, seen, &end) == -ETIMEDOUT;
  }
}

void AioEngine::RunTelling() {
  IoOrdering::Runnable ended;
  while (AwaitEnded(&ended)) {
    {
      Notifier notifier;
      while (const uint32_t link = ended.Take()) Tell(link - 1, &notifier);
    }
    WakeSuspended();
  }
}

}  // namespace kevent::core
