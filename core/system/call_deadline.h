// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_CALL_DEADLINE_H_
#define KEVENT_CORE_SYSTEM_CALL_DEADLINE_H_

#include <kevent/kevent.h>
#include <time.h>

#include "core/base/timespec.h"
#include "core/system/system.h"

namespace kevent::core {

// The moment at which a call of kevent_get_events or kevent_wait gives up.  A relative timeout
// ends on CLOCK_MONOTONIC, which no step of the clock moves; an absolute one follows the steps
// of CLOCK_REALTIME, unless the call asks for CLOCK_MONOTONIC.
class CallDeadline {
 public:
  CallDeadline(const timespec* timeout, unsigned flags)
      : infinite_(timeout == nullptr),
        clock_((flags & KEVENT_FLAGS_ABSTIME) != 0 && (flags & KEVENT_FLAGS_MONOTONIC) == 0
                   ? CLOCK_REALTIME
                   : CLOCK_MONOTONIC) {
    if (infinite_) return;
    end_ = ToNanoseconds(*timeout);
    const bool relative = (flags & KEVENT_FLAGS_ABSTIME) == 0;
    if (relative && end_ != 0) end_ = AddSaturating(Now(), end_);
  }

  bool infinite() const { return infinite_; }
  // True if the call only polls.
  bool zero() const { return !infinite_ && end_ == 0; }
  clockid_t clock() const { return clock_; }
  Nanoseconds end() const { return end_; }
  Nanoseconds left() const {
    const Nanoseconds now = Now();
    return now >= end_ ? 0 : end_ - now;
  }
  bool passed() const { return !infinite_ && left() == 0; }

 private:
  Nanoseconds Now() const {
    Nanoseconds now = 0;
    sys::Now(clock_, &now);
    return now;
  }

  bool infinite_;
  clockid_t clock_;
  Nanoseconds end_ = 0;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_SYSTEM_CALL_DEADLINE_H_
