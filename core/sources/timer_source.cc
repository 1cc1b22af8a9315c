// SPDX-License-Identifier: MIT
//
// KEVENT_TIMER: a timer of the engine that completes into a record.  id is the
// period in seconds and nanoseconds on CLOCK_MONOTONIC; with KEVENT_TIMER_SPEC
// it is a key, and ret_data holds the address of a kevent_timer_spec.

#include <cerrno>
#include <cstring>

#include "core/base/timespec.h"
#include "core/kevents/event_set.h"
#include "core/timers/clocks.h"

namespace kevent::core {
namespace {

// Reads the specification: 0 or a negative errno.
int ReadSpec(const Kevent& record, const ukevent& request, kevent_timer_spec* spec) {
  if ((record.event & KEVENT_TIMER_SPEC) != 0) {
    const void* address;
    static_assert(sizeof address == sizeof request.ret_data);
    std::memcpy(&address, request.ret_data, sizeof address);
    if (address == nullptr) return -EFAULT;
    std::memcpy(spec, address, sizeof *spec);
    if ((spec->flags & ~TIMER_ABSTIME) != 0) return -EINVAL;
  } else {
    const auto seconds = static_cast<uint32_t>(record.key.id);
    const auto nanoseconds = static_cast<uint32_t>(record.key.id >> 32);
    if (record.key.id == 0 || nanoseconds >= kNanosecondsPerSecond) return -EINVAL;
    const timespec period = {seconds, nanoseconds};
    *spec = {CLOCK_MONOTONIC, 0, {period, period}};
    if ((record.req_flags & KEVENT_REQ_ONESHOT) != 0) spec->itimerspec.it_interval = {0, 0};
  }
  const itimerspec& setting = spec->itimerspec;
  return IsValid(setting.it_value) && IsValid(setting.it_interval) ? 0 : -EINVAL;
}

// A timer that is paused is not scheduled, and keeps its deadline: its expirations are counted from
// that when it goes on.
void Pause(EventSet& set, uint32_t number) {
  set.queue().UnscheduleKeventTimer(Handle(set.At(number).handle), set.settings());
}

// Pauses a timer by a command, after which the queue must not stay, or become, readable for that
// timer: its caller looks anew at what is due.
void PauseAndLook(EventSet& set, uint32_t number) {
  Pause(set, number);
  set.set_took_back();
}

int Attach(EventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  kevent_timer_spec spec;
  if (const int error = ReadSpec(record, request, &spec); error != 0) return error;
  ClockPlan plan;
  if (const int error = PlanFor(spec.clockid, &plan); error != 0) {
    // The clock's thread or process has ended: the error is the one for a clock that ends later.
    return error == EINVAL && IsCpuClockById(spec.clockid) ? -ESRCH : -error;
  }
  Handle handle(0);
  if (const int error = set.queue().AddKeventTimer(plan, number, &handle); error != 0) {
    return -error;
  }
  record.handle = handle.bits();
  record.clock = plan.clock;
  const int error = set.queue().SetKeventTimer(handle, spec.flags, spec.itimerspec, set.settings());
  if (error != 0) {
    set.queue().DeleteKeventTimer(handle);
  } else if (record.paused) {
    PauseAndLook(set, number);
  }
  return -error;
}

// A period goes on in its phase; a specification sets the timer anew.
int Change(EventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  if (record.paused) return PauseAndLook(set, number), 0;
  const Handle handle(record.handle);
  if ((record.event & KEVENT_TIMER_SPEC) == 0) {
    set.queue().ScheduleKeventTimer(handle);
    set.set_took_back();
    return 0;
  }
  kevent_timer_spec spec;
  if (const int error = ReadSpec(record, request, &spec); error != 0) return error;
  if (ClockMeantBy(spec.clockid) != record.clock) return -EINVAL;
  return -set.queue().SetKeventTimer(handle, spec.flags, spec.itimerspec, set.settings());
}

void Detach(EventSet& set, uint32_t number) {
  set.queue().DeleteKeventTimer(Handle(set.At(number).handle));
}

// A kevent that kevent_ctl(READY) has made ready, and that is due as well, has one event, which the
// timer's expiration brings.
bool Counts(EventSet& set, uint32_t number, uint64_t*) {
  return !set.queue().IsDue(Handle(set.At(number).handle).slot());
}

}  // namespace

// KEVENT_MASK_ALL names no specification, so it asks for none.  A timer outlives the descriptors of
// its queue.
constexpr Source kTimerSource = {.events = KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC,
                                 .mask_all = KEVENT_TIMER_FIRED,
                                 .attach = Attach,
                                 .change = Change,
                                 .pause = Pause,
                                 .detach = Detach,
                                 .forget = Detach,
                                 .counts = Counts};

}  // namespace kevent::core
