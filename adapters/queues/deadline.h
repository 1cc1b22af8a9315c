// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_QUEUES_DEADLINE_H_
#define KEVENT_ADAPTERS_QUEUES_DEADLINE_H_

#include <kevent/kevent.h>
#include <time.h>

#include "core/base/timespec.h"

namespace kevent::queues {

// The end of a wait, as kevent_get_events takes it: a moment, so that a wait in parts does not
// become longer.
class Deadline {
 public:
  // nullptr is none, a timeout of 0 not to wait at all.  Requires a valid timeout.
  explicit Deadline(const timespec* timeout) : has_end_(timeout != nullptr) {
    if (!has_end_) return;
    waits_ = timeout->tv_sec != 0 || timeout->tv_nsec != 0;
    if (!waits_) return;
    end_ = core::AddSaturating(Now(), core::ToNanoseconds(*timeout));
    moment_ = core::ToTimespec(end_);
  }

  bool waits() const { return waits_; }
  const timespec* moment() const { return IsMoment() ? &moment_ : nullptr; }
  unsigned flags() const { return IsMoment() ? KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC : 0; }
  bool HasPassed() const { return !waits_ || (has_end_ && Now() >= end_); }

  // A part of the wait.
  Deadline In(core::Nanoseconds part) const {
    const timespec timeout = core::ToTimespec(part);
    Deadline in_part(&timeout);
    return has_end_ && end_ < in_part.end_ ? *this : in_part;
  }

 private:
  static core::Nanoseconds Now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return core::ToNanoseconds(now);
  }
  bool IsMoment() const { return has_end_ && waits_; }

  bool has_end_;
  bool waits_ = true;
  core::Nanoseconds end_ = 0;
  timespec moment_ = {};
};

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_DEADLINE_H_
