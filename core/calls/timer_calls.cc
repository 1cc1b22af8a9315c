// SPDX-License-Identifier: MIT

#include "core/calls/timer_calls.h"

#include <absl/base/optimization.h>
#include <kevent/kevent.h>

#include <cerrno>

#include "core/base/timespec.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/system.h"
#include "core/timers/arming_order.h"

namespace kevent::core {

namespace {

// The queue that the timer is in.  A slot's queue is stored before its generation, so a caller that
// then finds the generation right has the right queue; one that does not has some queue, and queues
// are never unmapped.
Queue* QueueOf(const TimerSlot& timer) {
  const uint32_t link = timer.queue_link();
  return link == 0 ? nullptr : &Queues::At(link - 1);
}

// The clock that a setting's deadline is measured on.
clockid_t ClockOf(const TimerSlot& timer, const Queue& queue, bool on_monotonic_axis) {
  const uint8_t index = timer.axis.load(std::memory_order_relaxed);
  if (index == kMonotonicAxis || on_monotonic_axis) return CLOCK_MONOTONIC;
  return queue.kernel_timer(index).clock.load(std::memory_order_relaxed);
}

// True for a clock of clock_getcpuclockid or pthread_getcpuclockid.
bool IsDynamic(clockid_t clock) { return clock < 0; }

bool ClockLives(const TimerSlot& timer, Queue& queue, clockid_t clock) {
  return !IsDynamic(clock) || queue.ClockLives(timer.axis.load(std::memory_order_relaxed));
}

bool RelativeOnMonotonic(const TimerSlot& timer, const Queue& queue) {
  const uint8_t index = timer.axis.load(std::memory_order_relaxed);
  return index != kMonotonicAxis &&
         queue.kernel_timer(index).relative_on_monotonic.load(std::memory_order_relaxed);
}

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

// Prepares the replacement of the setting that was found in the word: the overruns that were
// counted for it are forgotten, if it is periodic.  False if the timer is gone.
bool BeginSetting(TimerSlot& timer, uint32_t generation, const Setting& before) {
  return before.interval == 0 ? timer.live_as(generation) : timer.life.NextSetting(generation);
}

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
  if (error == 0) *timer = reinterpret_cast<timer_t>(handle.bits());
  return error;
}

int SetTimer(Handle handle, int flags, const itimerspec* value, itimerspec* old_value) {
  if (value == nullptr || !IsValid(value->it_value) || !IsValid(value->it_interval)) return EINVAL;
  TimerSlot* timer = SlotTable::Find(handle);
  if (ABSL_PREDICT_FALSE(timer == nullptr)) return EINVAL;
  // Among very many timers the slot is in no cache.  While it comes, the clock is read that nearly
  // every relative setting is measured on.
  __builtin_prefetch(timer, 1);
  // Flags other than TIMER_ABSTIME are ignored, as the kernel does.
  Setting next;
  next.deadline = ToNanoseconds(value->it_value);
  const bool relative = next.armed() && (flags & TIMER_ABSTIME) == 0;
  const Nanoseconds monotonic_now = relative ? sys::MonotonicNow() : 0;
  if (ABSL_PREDICT_FALSE(!timer->live_as(handle.generation()))) return EINVAL;
  Queue* queue = QueueOf(*timer);
  if (ABSL_PREDICT_FALSE(queue == nullptr)) return EINVAL;

  if (next.armed()) next.interval = ToNanoseconds(value->it_interval);
  next.on_monotonic_axis = relative && RelativeOnMonotonic(*timer, *queue);
  const clockid_t clock = ClockOf(*timer, *queue, next.on_monotonic_axis);
  if (relative && clock == CLOCK_MONOTONIC) {
    next.deadline = AddSaturating(monotonic_now, next.deadline);
  } else if (relative || IsDynamic(clock)) {
    // Only the CPU time of a thread or process that has ended cannot be read.  The kernel refuses
    // every setting of such a timer (posix_cpu_timer_set).
    Nanoseconds now;
    if (sys::Now(clock, &now) != 0 || !ClockLives(*timer, *queue, clock)) return ESRCH;
    if (relative) next.deadline = AddSaturating(now, next.deadline);
  }

  PackedSetting before = timer->word.Guess();
  PackedSetting after;
  do {
    // This comes after the word was read and before it is swapped: if timer_delete comes in
    // between, the swap fails (model: LIFE_IS_NOT_ASKED_FOR).
    const Setting replaced = before.Unpack();
    if (ABSL_PREDICT_FALSE(!BeginSetting(*timer, handle.generation(), replaced))) return EINVAL;
    next.generation = static_cast<uint8_t>((replaced.generation + 1) & 7);
    after = PackedSetting(next);
    timer->arming_order.store(NextArmingOrder(), std::memory_order_relaxed);
  } while (!timer->word.Swap(before, after));

  if (next.armed()) queue->Armed(handle.slot(), *timer, AxisDeadline(after.low()));
  if (old_value != nullptr) *old_value = Report(*timer, *queue, before.Unpack());
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
  const uint64_t frozen = timer->frozen_overruns.load(std::memory_order_seq_cst);
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
  return 0;
}

int KeventHost::SetKeventTimer(Handle handle, int flags, const itimerspec& value) {
  return SetTimer(handle, flags, &value, nullptr);
}

}  // namespace kevent::core
