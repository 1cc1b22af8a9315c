// SPDX-License-Identifier: MIT
//
// The kernel object that makes a queue readable when the earliest deadline on one clock has
// come: a timerfd, or for a clock of CPU time a POSIX timer, the alarm, whose signal wakes the
// alarm thread.
//
// It is for armers, which take no lock: every member is atomic.  What is indexed on the same
// clock is in TimerIndex, under the lock of the queue.

#ifndef KEVENT_CORE_QUEUE_KERNEL_TIMER_H_
#define KEVENT_CORE_QUEUE_KERNEL_TIMER_H_

#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/base/kernel_register.h"
#include "core/timers/clocks.h"
#include "core/timers/setting.h"

namespace kevent::core {

// What the KernelRegister of a KernelTimer holds: larger is earlier, 0 is no deadline, so
// that zeroed memory is a disarmed timerfd.
inline constexpr uint64_t Earliness(Nanoseconds deadline) {
  return deadline == 0 ? 0 : kLatest + 1 - deadline;
}
inline constexpr Nanoseconds DeadlineOf(uint64_t earliness) {
  return earliness == 0 ? 0 : kLatest + 1 - earliness;
}

// Armers on one clock do not share a line of memory with those on another.  Zeroed memory is
// unused.
struct alignas(64) KernelTimer {
  KernelRegister armed;
  std::atomic<int> source;  // number of the timerfd or alarm, plus one; 0: none
  std::atomic<clockid_t> clock;
  std::atomic<AxisKind> kind;
  std::atomic<bool> relative_on_monotonic;
  std::atomic<bool> alarm_fired;  // CPU time: the alarm is spent
  std::atomic<bool> ended;        // CPU time: of a thread that has gone, as is known by now

  // The deadline that a register of this kind holds has come.
  static bool HasCome(KernelRegister::State armed, Nanoseconds now) {
    return armed.value() != 0 && DeadlineOf(armed.value()) <= now;
  }

  // At this moment the timerfd makes the queue readable, as far as the kernel was told.
  bool IsReadable(Nanoseconds now) const {
    const KernelRegister::State seen = armed.Load();
    return kind.load(std::memory_order_relaxed) != AxisKind::kCpuTime && seen.told() &&
           HasCome(seen, now);
  }

  // The timerfd is readable though its deadline has not come: its clock was set.
  bool IsReadableInVain() const;

  // Of a clock of CPU time: the thread or process that it measures has not ended.  Another
  // one may have its id by now.
  bool OwnerLives();

  // OwnerLives, where the deadline has come: the alarm is put off, as it will be anyhow when
  // the collection ends.
  bool OwnerLivesAndPutOff();

  // A deadline has come by the CPU time of a thread that has the id of the owner, which has
  // ended.
  bool HasComeForAnother(Nanoseconds now);

  // The deadline that the kernel was told of has come.
  bool IsPast() const;

 private:
  // The number of the alarm, or -1 where the kernel object is none.
  int Alarm() const;
};
static_assert(sizeof(KernelTimer) == 64);

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_KERNEL_TIMER_H_
