// SPDX-License-Identifier: MIT
//
// The timer_* calls for timers of the library's.  Each returns 0 or an errno value; on failure
// nothing has changed.

#ifndef KEVENT_CORE_CALLS_TIMER_CALLS_H_
#define KEVENT_CORE_CALLS_TIMER_CALLS_H_

#include <signal.h>
#include <time.h>

#include <cstdint>

#include "core/base/notification.h"
#include "core/timers/handle.h"

struct kevent_setting;

namespace kevent::core {

// Not async-signal-safe.
int CreateTimer(clockid_t clock, const sigevent& notification, timer_t* timer);
int DeleteTimer(Handle handle);

// Async-signal-safe; no lock, no allocation.
int SetTimer(Handle handle, int flags, const itimerspec* value, itimerspec* old_value);
// kevent_settime: the number of timers that were set, or a negative errno.  `set_elsewhere` sets a
// timer that is not the library's: 0 or an errno.
using SetElsewhere = int (*)(timer_t timer, int flags, const itimerspec& value);
int SetTimers(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere);
int GetTimer(Handle handle, itimerspec* value);
int GetOverrun(Handle handle, int* overruns);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_TIMER_CALLS_H_
