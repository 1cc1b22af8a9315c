// SPDX-License-Identifier: MIT
//
// The thread that notifies of operations that close has ended, if their notification is by a new
// thread (SIGEV_THREAD).  Making a thread takes memory, and the handler that calls close may have
// interrupted malloc.  The thread is there before such an operation begins, as all other threads
// may be busy for ever, and ends after a second without such operations.

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

int AioEngine::StartTelling() {
  const auto run = [](void* engine) { static_cast<AioEngine*>(engine)->RunTelling(); };
  return StartOne(&telling_thread_, run, "kevent-tell");
}

// Leaves those operations to the thread; keeps the others, of which the calling thread may notify.
void AioEngine::LeaveToTell(IoOrdering::Runnable* ended) {
  IoOrdering::Runnable others;
  while (const uint32_t link = ended->Take()) {
    (Operations::At(link - 1).by_thread ? to_tell_ : others).Append(link - 1);
  }
  *ended = others;
  if (to_tell_.first == 0) return;
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
        telling_thread_ = Presence::kAbsent;
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
  while (AwaitEnded(&ended)) Finish(&ended);
}

}  // namespace kevent::core
