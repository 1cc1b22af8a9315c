// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_
#define KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_

#include <signal.h>
#include <time.h>

#include <cerrno>
#include <cstdint>

#include "core/system/system.h"
#include "core/system/system_call.h"

namespace kevent::sys {

// Calls `transfer`, which may have the thread sent a SIGPIPE, and takes that signal away.
template <typename Transfer>
int64_t WithoutBrokenPipe(Transfer transfer) {
  constexpr SignalSet kBrokenPipe = SignalSet{1} << (SIGPIPE - 1);
  const SignalSet before = BlockAllSignals();
  const bool was_pending = (PendingSignals() & kBrokenPipe) != 0;
  const int64_t result = transfer();
  if (result == -EPIPE && !was_pending) {
    // The thread's own SIGPIPE is taken before one that was sent to the process meanwhile.
    const timespec at_once = {0, 0};
    Call(SYS_rt_sigtimedwait, &kBrokenPipe, nullptr, &at_once, sizeof kBrokenPipe);
  }
  RestoreSignals(before);
  return result;
}

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_
