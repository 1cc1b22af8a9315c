// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_
#define KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "core/system/system.h"
#include "core/system/system_call.h"

namespace kevent::sys {

// Calls `transfer` of so many bytes, which may have the thread sent a SIGPIPE, and takes that
// signal away.  A call that has moved a part before it met the broken pipe returns that part, and
// the signal comes all the same: sendfile makes a call of the socket's for each part (fs/splice.c).
template <typename Transfer>
int64_t WithoutBrokenPipe(size_t bytes, Transfer transfer) {
  constexpr SignalSet kBrokenPipe = SignalSet{1} << (SIGPIPE - 1);
  const SignalSet before = BlockAllSignals();
  const bool was_pending = (PendingSignals() & kBrokenPipe) != 0;
  const int64_t result = transfer();
  const bool is_part = result > 0 && static_cast<size_t>(result) < bytes;
  if ((result == -EPIPE || is_part) && !was_pending) {
    // The thread's own SIGPIPE is taken before one that was sent to the process meanwhile.  A part
    // may be one because the socket is full: then what is taken is somebody else's, and goes back.
    // The kernel says of its own that the process has sent it (kernel/signal.c, SEND_SIG_NOINFO).
    const timespec at_once = {0, 0};
    siginfo_t sent;
    const long taken = Call(SYS_rt_sigtimedwait, &kBrokenPipe, &sent, &at_once, sizeof kBrokenPipe);
    const pid_t self = getpid();
    if (taken > 0 && (sent.si_code != SI_USER || sent.si_pid != self)) {
      Call(SYS_kill, self, SIGPIPE);
    }
  }
  RestoreSignals(before);
  return result;
}

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_BROKEN_PIPE_H_
