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

namespace kevent::core {

// Not async-signal-safe.
int CreateTimer(clockid_t clock, const sigevent& notification, timer_t* timer);
int DeleteTimer(Handle handle);

// Async-signal-safe; no lock, no allocation.
int SetTimer(Handle handle, int flags, const itimerspec* value, itimerspec* old_value);
int GetTimer(Handle handle, itimerspec* value);
int GetOverrun(Handle handle, int* overruns);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_TIMER_CALLS_H_
