// SPDX-License-Identifier: MIT
//
// A queue reports signals that are blocked.  So a signal is blocked, in the calling thread, while a
// kqueue watches it.

#ifndef KEVENT_ADAPTERS_KQUEUE_SIGNALS_H_
#define KEVENT_ADAPTERS_KQUEUE_SIGNALS_H_

#include <signal.h>

#include "core/base/lock.h"

namespace kevent::kqueue {

// 0 or an errno.
int BlockSignal(int signal);
// The registration that BlockSignal was called for is over.  With the last one of a signal that was
// not blocked before it is unblocked, unless its kqueue was closed: who closes one may be any
// thread.
enum class End { kDeleted, kClosed };
void UnblockSignal(int signal, End end);

// Zeroed memory is that of a process that watches none.
class WatchedSignals {
 public:
  void Block(int signal);
  void Unblock(int signal, End end);
  // Whether several registrations are for the signal.
  bool AreSeveral(int signal);

 private:
  core::Lock lock_;
  int watchers_[NSIG] ABSL_GUARDED_BY(lock_);
  bool is_ours_[NSIG] ABSL_GUARDED_BY(lock_);
};

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_SIGNALS_H_
