// SPDX-License-Identifier: MIT

#include "core/calls/timer_calls.h"

#include <absl/base/optimization.h>
#include <kevent/kevent.h>

#include <cerrno>

#include "core/base/probe.h"
#include "core/base/timespec.h"
#include "core/calls/new_setting.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/system.h"

namespace kevent::core {

namespace {

// The answer of timer_gettime and timer_settime for a setting.  If the timer is on the clock of a
// thread or process that has ended, it is zero, the interval included, as in the kernel
// (posix_cpu_timer_get).
itimerspec Report(const TimerSlot& timer, const Queue& queue, const Setting& setting) {
  if (!setting.armed()) return {ToTimespec(setting.interval), {0, 0}};
  const clockid_t clock = ClockOf(timer, queue, setting.on_monotonic_axis);
  const uint8_t axis = timer.axis.load(std::memory_order_relaxed);
  Nanoseconds now;
  if (sys::Now(clock, &now) != 0 ||
      queue.kernel_timer(axis).ended.load(std::memory_order_relaxed)) {
    return {};
  }
  return {ToTimespec(setting.interval), ToTimespec(RemainingAt(setting, now))};
}

// The clocks for a single setting.
struct TimeOfOne {
  static Nanoseconds monotonic() { return sys::MonotonicNow(); }
  static bool Read(clockid_t clock, const TimerSlot& timer, Queue& queue, Nanoseconds* now) {
    return sys::Now(clock, now) == 0 && ClockLives(timer, queue, clock);
  }
};

}  // namespace

// Errors come in the order of the kernel's timer_create: the clock first.
int CreateTimer(clockid_t clock, const sigevent& notification, timer_t* timer) {
  ClockPlan plan;
  if (const int error = PlanFor(clock, &plan); error != 0) return error;
  if (timer == nullptr) return EFAULT;
  Queue* queue;
  if (const int error = Queues::Pin(notification.sigev_kevent_fd, &queue); error != 0) return error;
  Handle handle(0);
  const auto cookie = reinterpret_cast<uint64_t>(notification.sigev_value.sival_ptr);
  const int error = queue->AddTimer(plan, cookie, &handle);
  queue->Unpin();
  if (error != 0) return error;
  *timer = reinterpret_cast<timer_t>(handle.bits());
  KEVENT_PROBE(timer_create, handle.bits(), clock, notification.sigev_kevent_fd, cookie);
  return 0;
}

int SetTimer(Handle handle, int flags, const itimerspec* value, itimerspec* old_value) {
  if (value == nullptr) return EINVAL;
  NewSetting setting;
  TimeOfOne time;
  int error = Prepare(handle, flags, *value, time, &setting);
  if (error == 0) error = setting.Commit();
  if (error != 0) return error;
  Queue& queue = *setting.queue;
  const TimerSlot& timer = *setting.timer;
  KEVENT_PROBE(timer_set, handle.bits(), setting.after.low(), setting.after.high(),
               setting.before.low());
  if (setting.arms()) queue.Armed(handle.slot(), timer, setting.deadline());
  if (old_value != nullptr) *old_value = Report(timer, queue, setting.before.Unpack());
  return 0;
}

int GetTimer(Handle handle, itimerspec* value) {
  TimerSlot* timer = SlotTable::Find(handle);
  if (timer == nullptr) return EINVAL;
  const PackedSetting word = timer->word.Read();
  const Queue* queue = QueueOf(*timer);
  if (queue == nullptr) return EINVAL;
  const itimerspec report = Report(*timer, *queue, word.Unpack());
  if (!timer->live_as(handle.generation())) return EINVAL;
  if (value == nullptr) return EFAULT;
  *value = report;
  return 0;
}

int GetOverrun(Handle handle, int* overruns) {
  const TimerSlot* timer = SlotTable::Find(handle);
  if (timer == nullptr) return EINVAL;
  const uint64_t frozen = timer->frozen_overruns.load(std::memory_order_acquire);
  const uint32_t setting = timer->life.setting();
  if (!timer->live_as(handle.generation())) return EINVAL;
  *overruns = frozen >> 32 == setting ? static_cast<int>(frozen & UINT32_MAX) : 0;
  return 0;
}

int DeleteTimer(Handle handle) {
  const TimerSlot* timer = SlotTable::Find(handle);
  if (timer == nullptr) return EINVAL;
  Queue* queue = QueueOf(*timer);
  if (const int error = SlotTable::End(handle); error != 0) return error;
  queue->DeletedTimer(handle.slot());
  KEVENT_PROBE(timer_delete, handle.bits());
  return 0;
}

}  // namespace kevent::core
