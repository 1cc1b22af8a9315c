// SPDX-License-Identifier: MIT

#include "core/queue/kernel_timer.h"

#include <cerrno>

#include "core/system/system.h"

namespace kevent::core {

bool KernelTimer::IsPast() const {
  const KernelRegister::State seen = armed.Load();
  Nanoseconds now;
  return seen.value() != 0 && sys::Now(clock.load(std::memory_order_relaxed), &now) == 0 &&
         HasCome(seen, now);
}

bool KernelTimer::IsReadableInVain() const {
  const AxisKind is = kind.load(std::memory_order_relaxed);
  if (is != AxisKind::kSettable && is != AxisKind::kTai) return false;
  return sys::IsReadable(source.load(std::memory_order_relaxed) - 1);
}

// The number is read before the kind.  A timer that is made anew for another clock is of no kind
// while it gets its number, so this is never the number of a timerfd: a timer of the program's may
// have that number, and would be set.
int KernelTimer::Alarm() const {
  const int number = source.load(std::memory_order_acquire) - 1;
  return kind.load(std::memory_order_acquire) == AxisKind::kCpuTime ? number : -1;
}

// Only the alarm knows if its thread or process has ended, and says so when it is set.  An alarm
// whose deadline has come would expire again by that, so it is left to the next collection.
bool KernelTimer::OwnerLives() {
  if (ended.load(std::memory_order_relaxed)) return false;
  const int alarm = Alarm();
  if (alarm < 0 || IsPast()) return true;
  armed.Tell([this, alarm](uint64_t earliness) {
    if (sys::ArmAlarm(alarm, DeadlineOf(earliness)) == -ESRCH) ended = true;
  });
  return !ended.load(std::memory_order_relaxed);
}

bool KernelTimer::OwnerLivesAndPutOff() {
  const int alarm = Alarm();
  if (alarm >= 0 && sys::ArmAlarm(alarm, kLatest) == -ESRCH) ended = true;
  return !ended.load(std::memory_order_relaxed);
}

bool KernelTimer::HasComeForAnother(Nanoseconds now) {
  if (clock.load(std::memory_order_relaxed) >= 0) return false;
  if (ended.load(std::memory_order_relaxed)) return true;
  return HasCome(armed.Load(), now) && !OwnerLivesAndPutOff();
}

}  // namespace kevent::core
