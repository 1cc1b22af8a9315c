// SPDX-License-Identifier: MIT

#include "adapters/kqueue/signals.h"

#include <cerrno>

#include "adapters/kqueue/kqueues.h"
#include "adapters/queues/held.h"

namespace kevent::kqueue {
namespace {

bool IsBlockedAfter(int how, int signal) {
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(how, &set, &before);
  return sigismember(&before, signal) == 1;
}

}  // namespace

void WatchedSignals::Block(int signal) {
  const queues::Held held(lock_);
  const bool was_blocked = IsBlockedAfter(SIG_BLOCK, signal);
  if (watchers_[signal]++ == 0) is_ours_[signal] = !was_blocked;
}

void WatchedSignals::Unblock(int signal, End end) {
  const queues::Held held(lock_);
  if (--watchers_[signal] != 0) return;
  if (is_ours_[signal] && end == End::kDeleted) IsBlockedAfter(SIG_UNBLOCK, signal);
  is_ours_[signal] = false;
}

bool WatchedSignals::AreSeveral(int signal) {
  const queues::Held held(lock_);
  return watchers_[signal] > 1;
}

int BlockSignal(int signal) {
  if (signal == SIGKILL || signal == SIGSTOP) return EINVAL;
  Kqueues::This()->signals().Block(signal);
  return 0;
}

void UnblockSignal(int signal, End end) { Kqueues::This()->signals().Unblock(signal, end); }

}  // namespace kevent::kqueue
