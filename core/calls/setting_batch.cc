// SPDX-License-Identifier: MIT

#include "core/calls/setting_batch.h"

#include <kevent/kevent.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "core/calls/new_setting.h"
#include "core/calls/timer_calls.h"
#include "core/system/system.h"

namespace kevent::core {

inline Nanoseconds SettingBatch::Time::monotonic() {
  if (ABSL_PREDICT_FALSE(monotonic_ == 0)) monotonic_ = sys::MonotonicNow();
  return monotonic_;
}

bool SettingBatch::Time::Read(clockid_t clock, const TimerSlot& timer, Queue& queue,
                              Nanoseconds* now) {
  const KernelTimer* const owner =
      IsDynamic(clock) ? &queue.kernel_timer(timer.axis.load(std::memory_order_relaxed)) : nullptr;
  const Reading* const end = readings_ + std::min(count_, kMost);
  const Reading* found = readings_;
  while (found != end && (found->clock != clock || found->owner != owner)) ++found;
  if (found == end) {
    Reading& reading = readings_[count_++ % kMost];
    reading.clock = clock;
    reading.owner = owner;
    reading.lives = sys::Now(clock, &reading.now) == 0 && ClockLives(timer, queue, clock);
    found = &reading;
  }
  *now = found->now;
  return found->lives;
}

int SettingBatch::Set(Handle handle, int flags, const itimerspec& value) {
  NewSetting setting;
  int error = Prepare(handle, flags, value, time_, &setting);
  if (error == 0) error = setting.Commit();
  if (error == 0 && setting.arms()) Armed(setting);
  return error;
}

int KeventHost::SetKeventTimer(Handle handle, int flags, const itimerspec& value,
                               SettingBatch* batch) {
  return batch->Set(handle, flags, value);
}

namespace {

Handle HandleOf(const kevent_setting& setting) {
  return Handle(reinterpret_cast<uint64_t>(setting.timer));
}

// Among very many timers a slot is in no cache, and comes while others are set.
void Prefetch(unsigned num, const kevent_setting* settings) {
  for (unsigned i = 0; i < num; ++i) {
    const Handle handle = HandleOf(settings[i]);
    if (!handle.tagged()) continue;
    if (const TimerSlot* timer = SlotTable::Find(handle); timer != nullptr) {
      __builtin_prefetch(timer, 1);
    }
  }
}

}  // namespace

unsigned SettingBatch::SetPart(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere) {
  constexpr int kElsewhere = -1;  // for a timer that is not the library's
  NewSetting prepared[kPart];
  int errors[kPart];
  for (unsigned i = 0; i < num; ++i) {
    const kevent_setting& setting = settings[i];
    const Handle handle = HandleOf(setting);
    errors[i] = ABSL_PREDICT_TRUE(handle.tagged())
                    ? Prepare(handle, setting.flags, setting.value, time_, &prepared[i])
                    : kElsewhere;
  }
  unsigned set = 0;
  for (unsigned i = 0; i < num; ++i) {
    kevent_setting& setting = settings[i];
    int error = errors[i];
    if (ABSL_PREDICT_TRUE(error == 0)) {
      error = prepared[i].Commit();
      if (ABSL_PREDICT_TRUE(error == 0) && prepared[i].arms()) Armed(prepared[i]);
    } else if (error == kElsewhere) {
      error = set_elsewhere(setting.timer, setting.flags, setting.value);
    }
    setting.error = error;
    if (error == 0) ++set;
  }
  return set;
}

unsigned SettingBatch::SetAll(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere) {
  unsigned set = 0;
  Prefetch(std::min(num, kPart), settings);
  for (unsigned first = 0; first < num; first += kPart) {
    const unsigned rest = num - first;
    if (rest > kPart) Prefetch(std::min(rest - kPart, kPart), settings + first + kPart);
    set += SetPart(std::min(rest, kPart), settings + first, set_elsewhere);
  }
  return set;
}

int SetTimers(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere) {
  if (num > INT_MAX) return -EINVAL;
  if (num != 0 && settings == nullptr) return -EFAULT;
  SettingBatch batch;
  return static_cast<int>(batch.SetAll(num, settings, set_elsewhere));
}

}  // namespace kevent::core
