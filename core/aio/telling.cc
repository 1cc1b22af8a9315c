// SPDX-License-Identifier: MIT
//
// The thread that tells of what close has ended, where a new thread is to be told
// (SIGEV_THREAD): to make one takes memory, which the handler that closes may have
// interrupted the giver of.  It is there before such an operation begins, as all others
// may be busy for ever, and goes when there was none for a second.

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

// Or its list, which it may be the last of.
bool AioEngine::IsToldByThread(uint32_t number) {
  const Operation& operation = Operations::At(number);
  return IsByThread(operation) ||
         (operation.list != 0 && IsByThread(Operations::At(operation.list - 1)));
}

int AioEngine::StartTelling() {
  const auto run = [](void* engine) { static_cast<AioEngine*>(engine)->RunTelling(); };
  return StartOne(&telling_thread_, run, "kevent-tell");
}

// Keeps those that whoever has ended them may tell of.
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

// False when there was nothing to do for long, and can be nothing.
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
