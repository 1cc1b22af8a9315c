// SPDX-License-Identifier: MIT

#include "core/calls/timer_calls.h"
#include "shim/edge.h"
#include "shim/libc.h"

namespace {

using kevent::core::Handle;
using kevent::shim::Finish;

Handle HandleOf(timer_t timer) { return Handle(reinterpret_cast<uint64_t>(timer)); }
bool Ours(timer_t timer) { return HandleOf(timer).tagged(); }

// Inside the look-up of the C library's functions there are no timers.
int NotYet() { return Finish(-EAGAIN); }

// The C library's function takes its own timers one by one, and says its error by errno, which is
// the program's own: kevent_settime fails entry by entry.
int SetOfLibc(timer_t timer, int flags, const itimerspec& value) {
  const auto libc = KEVENT_LIBC(timer_settime);
  if (libc == nullptr) return EAGAIN;
  const int before = errno;
  const int error = libc(timer, flags, &value, nullptr) == 0 ? 0 : errno;
  errno = before;
  return error;
}

}  // namespace

KEVENT_EXPORT int timer_create(clockid_t clock, sigevent* notification, timer_t* timer) noexcept {
  if (kevent::core::IsKeventNotification(notification)) {
    return Finish(-kevent::core::CreateTimer(clock, *notification, timer));
  }
  const auto libc = KEVENT_LIBC(timer_create);
  return libc != nullptr ? libc(clock, notification, timer) : NotYet();
}

KEVENT_EXPORT int timer_settime(timer_t timer, int flags, const itimerspec* value,
                                itimerspec* old_value) noexcept {
  if (Ours(timer)) {
    return Finish(-kevent::core::SetTimer(HandleOf(timer), flags, value, old_value));
  }
  const auto libc = KEVENT_LIBC(timer_settime);
  return libc != nullptr ? libc(timer, flags, value, old_value) : NotYet();
}

KEVENT_EXPORT int kevent_settime(unsigned int num, kevent_setting* settings) noexcept {
  return Finish(kevent::core::SetTimers(num, settings, SetOfLibc));
}

KEVENT_EXPORT int timer_gettime(timer_t timer, itimerspec* value) noexcept {
  if (Ours(timer)) return Finish(-kevent::core::GetTimer(HandleOf(timer), value));
  const auto libc = KEVENT_LIBC(timer_gettime);
  return libc != nullptr ? libc(timer, value) : NotYet();
}

KEVENT_EXPORT int timer_getoverrun(timer_t timer) noexcept {
  if (Ours(timer)) {
    int overruns = 0;
    const int error = kevent::core::GetOverrun(HandleOf(timer), &overruns);
    return Finish(error != 0 ? -error : overruns);
  }
  const auto libc = KEVENT_LIBC(timer_getoverrun);
  return libc != nullptr ? libc(timer) : NotYet();
}

KEVENT_EXPORT int timer_delete(timer_t timer) noexcept {
  if (Ours(timer)) return Finish(-kevent::core::DeleteTimer(HandleOf(timer)));
  const auto libc = KEVENT_LIBC(timer_delete);
  return libc != nullptr ? libc(timer) : NotYet();
}

KEVENT_OWN_NAME(timer_create);
KEVENT_OWN_NAME(timer_settime);
KEVENT_OWN_NAME(timer_gettime);
KEVENT_OWN_NAME(timer_getoverrun);
KEVENT_OWN_NAME(timer_delete);
