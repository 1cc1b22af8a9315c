// SPDX-License-Identifier: MIT

#include "core/calls/setting_batch.h"

#include <kevent/kevent.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "core/base/probe.h"
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
  if (error != 0) return error;
  KEVENT_PROBE(timer_set, handle.bits(), setting.after.low(), setting.after.high(),
               setting.before.low());
  if (setting.arms()) Armed(setting);
  return 0;
}

int KeventHost::SetKeventTimer(Handle handle, int flags, const itimerspec& value,
                               SettingBatch* batch) {
  return batch->Set(handle, flags, value);
}

void KeventHost::UnscheduleKeventTimer(Handle handle, SettingBatch* batch) {
  if (batch != nullptr) batch->Mark();
  static_cast<Queue*>(this)->UnscheduleKeventTimer(handle);
}

namespace {

Handle HandleOf(const kevent_setting& setting) {
  return Handle(reinterpret_cast<uint64_t>(setting.timer));
}

}  // namespace

// Among very many timers a slot is in no cache, and comes while those of the part before are set.
void SettingBatch::Find(unsigned num, kevent_setting* settings, Part* part) {
  part->num = std::min(num, kPart);
  part->settings = settings;
  for (unsigned i = 0; i < part->num; ++i) {
    part->timers[i] = SlotTable::Find(HandleOf(settings[i]));
    __builtin_prefetch(part->timers[i], 1);
  }
}

bool SettingBatch::PrepareOneShots(const Part& part, OneShots* prepared) {
  // No sum of such a time and a clock is beyond what a setting can hold.
  constexpr uint64_t kSeconds = uint64_t{1} << 31;
  uint32_t queue_link = 0;
  prepared->order = NextArmingOrders(part.num);
  for (unsigned i = 0; i < part.num; ++i) {
    const kevent_setting& setting = part.settings[i];
    const timespec& value = setting.value.it_value;
    const timespec& interval = setting.value.it_interval;
    TimerSlot* const timer = part.timers[i];
    if (ABSL_PREDICT_FALSE(timer == nullptr || (interval.tv_sec | interval.tv_nsec) != 0 ||
                           static_cast<uint64_t>(value.tv_sec) >= kSeconds ||
                           static_cast<uint64_t>(value.tv_nsec) >= kNanosecondsPerSecond)) {
      return false;
    }
    auto deadline = static_cast<Nanoseconds>(value.tv_sec) * kNanosecondsPerSecond +
                    static_cast<Nanoseconds>(value.tv_nsec);
    if (deadline != 0 && (setting.flags & TIMER_ABSTIME) == 0) deadline += time_.monotonic();

    // In the order that Prepare has them.
    const PackedSetting before = timer->word.Guess();
    if (ABSL_PREDICT_FALSE(!timer->live_as(HandleOf(setting).generation()))) return false;
    const uint32_t its_link = timer->queue_link();
    if (i == 0) queue_link = its_link;
    if (ABSL_PREDICT_FALSE(its_link != queue_link || before.interval() != 0 ||
                           timer->axis.load(std::memory_order_relaxed) != kMonotonicAxis)) {
      return false;
    }
    timer->arming_order.store(prepared->order + i, std::memory_order_relaxed);
    prepared->before[i] = before;
    prepared->after[i] = PackedSetting(AtomicPair::Halves{deadline << 2, 0}).After(before);
  }
  if (ABSL_PREDICT_FALSE(queue_link == 0)) return false;
  prepared->queue = &Queues::At(queue_link - 1);
  return true;
}

unsigned SettingBatch::SetOneShots(const Part& part, OneShots& prepared) {
  uint32_t failed = 0;
  for (unsigned i = 0; i < part.num; ++i) {
    TimerSlot* const timer = part.timers[i];
    if (ABSL_PREDICT_TRUE(timer->word.Swap(prepared.before[i], prepared.after[i]))) continue;
    // Another thread has set it, or this call, which has it twice.
    const Handle handle = HandleOf(part.settings[i]);
    NewSetting setting = {timer,
                          prepared.queue,
                          handle.slot(),
                          handle.generation(),
                          prepared.order + i,
                          prepared.before[i],
                          prepared.after[i]};
    if (setting.CommitAnew() != 0) failed |= 1u << i;
  }
  unsigned set = 0;
  for (unsigned i = 0; i < part.num; ++i) {
    const bool is_set = (failed >> i & 1) == 0;
    part.settings[i].error = is_set ? 0 : EINVAL;
    if (is_set) ++set;
    const AxisDeadline deadline(prepared.after[i].low());
    if (is_set && deadline.deadline() != 0) {
      armed_.Add(*prepared.queue, HandleOf(part.settings[i]).slot(), *part.timers[i], deadline);
    }
  }
  return set;
}

unsigned SettingBatch::SetAny(const Part& part, SetElsewhere set_elsewhere) {
  constexpr int kElsewhere = -1;  // for a timer that is not the library's
  NewSetting prepared[kPart];
  int errors[kPart];
  for (unsigned i = 0; i < part.num; ++i) {
    const kevent_setting& setting = part.settings[i];
    const Handle handle = HandleOf(setting);
    errors[i] = handle.tagged() ? Prepare(handle, setting.flags, setting.value, time_, &prepared[i])
                                : kElsewhere;
  }
  unsigned set = 0;
  for (unsigned i = 0; i < part.num; ++i) {
    kevent_setting& setting = part.settings[i];
    int error = errors[i];
    if (error == 0) {
      error = prepared[i].Commit();
      if (error == 0 && prepared[i].arms()) Armed(prepared[i]);
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
  Part parts[2];
  Find(num, settings, &parts[0]);
  for (unsigned first = 0; first < num; first += kPart) {
    const Part& part = parts[first / kPart % 2];
    const unsigned next = first + part.num;
    Find(num - next, settings + next, &parts[(first / kPart + 1) % 2]);
    OneShots prepared;
    set += PrepareOneShots(part, &prepared) ? SetOneShots(part, prepared)
                                            : SetAny(part, set_elsewhere);
  }
  return set;
}

int SetTimers(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere) {
  if (num > INT_MAX) return -EINVAL;
  if (num != 0 && settings == nullptr) return -EFAULT;
  SettingBatch batch;
  const unsigned set = batch.SetAll(num, settings, set_elsewhere);
  // One for all: a tracer finds the settings in the array.
  KEVENT_PROBE(timers_set, num, settings, set);
  return static_cast<int>(set);
}

}  // namespace kevent::core
