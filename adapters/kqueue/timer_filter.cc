// SPDX-License-Identifier: MIT
//
// EVFILT_TIMER: a timer of the queue, of the type KEVENT_TIMER.

#include <time.h>

#include <algorithm>
#include <cerrno>

#include "adapters/kqueue/filter.h"
#include "adapters/kqueue/timer_setting.h"

namespace kevent::kqueue {
namespace {

using core::Nanoseconds;

constexpr uint32_t kUnits = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS;

// 0 for more than one unit, or an unknown one.
Nanoseconds UnitOf(uint32_t fflags) {
  if ((fflags & ~(kUnits | NOTE_ABSTIME)) != 0) return 0;
  switch (fflags & kUnits) {
    case NOTE_SECONDS:
      return 1'000'000'000;
    case 0:
    case NOTE_MSECONDS:
      return 1'000'000;
    case NOTE_USECONDS:
      return 1000;
    case NOTE_NSECONDS:
      return 1;
    default:
      return 0;
  }
}

bool IsAbsolute(uint32_t fflags) { return (fflags & NOTE_ABSTIME) != 0; }

int CheckParameters(uint32_t fflags, int64_t data) {
  if (UnitOf(fflags) == 0) return EINVAL;
  return data < 0 && !IsAbsolute(fflags) ? EINVAL : 0;
}

int Attach(Knote& knote) {
  knote.watch = Watch::kTimer;
  return CheckParameters(knote.fflags, knote.data);
}

int Touch(Knote& knote, const Event& change) {
  // Otherwise the timer runs on as it is.
  if ((change.flags & EV_ADD) == 0) return 0;
  const int error = CheckParameters(change.fflags, change.data);
  if (error != 0) return error;
  TakeParameters(knote, change);
  ClearPending(knote);
  return 0;
}

uint32_t Events(const Knote&) { return KEVENT_TIMER_FIRED; }

Meaning Meet(Knote& knote, const ukevent& event, uint16_t*) {
  // An event that this library has asked for says 0 of a timer that has not expired.
  const bool has_expired = !knote.is_prompted || event.ret_data[0] != 0 || event.ret_data[1] != 0;
  if (has_expired) knote.pending_data += int64_t{event.ret_data[0]} + 1;
  knote.is_active = knote.pending_data != 0;
  return OfPending(knote);
}

}  // namespace

const Filter kTimerFilter = {.number = EVFILT_TIMER,
                             .flags = EV_CLEAR,
                             .of_descriptor = false,
                             .attach = Attach,
                             .touch = Touch,
                             .events = Events,
                             .meet = Meet,
                             .clear = ClearPending};

bool HasSameClock(uint32_t fflags, uint32_t other) {
  return IsAbsolute(fflags) == IsAbsolute(other);
}

kevent_timer_spec SettingOf(const Knote& knote) {
  const Nanoseconds unit = UnitOf(knote.fflags);
  const auto count = static_cast<Nanoseconds>(std::max<int64_t>(knote.data, 0));
  const Nanoseconds time = count > core::kLatest / unit ? core::kLatest : count * unit;
  kevent_timer_spec setting = {};
  if (IsAbsolute(knote.fflags)) {
    setting.clockid = CLOCK_REALTIME;
    setting.flags = TIMER_ABSTIME;
  } else {
    setting.clockid = CLOCK_MONOTONIC;
  }
  const bool is_periodic = !IsAbsolute(knote.fflags) && !knote.Has(EV_ONESHOT);
  if (is_periodic) {
    // A period of 0 is one of the shortest that the unit has.
    setting.itimerspec.it_value = core::ToTimespec(std::max(time, unit));
    setting.itimerspec.it_interval = setting.itimerspec.it_value;
  } else {
    // 0 would disarm the timer.
    setting.itimerspec.it_value = core::ToTimespec(std::max(time, Nanoseconds{1}));
  }
  return setting;
}

}  // namespace kevent::kqueue
