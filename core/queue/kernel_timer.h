// SPDX-License-Identifier: MIT
//
// The kernel object that makes a queue readable when the earliest deadline on one clock has come: a
// timerfd, or for a clock of CPU time a POSIX timer, the alarm, whose signal wakes the alarm
// thread.
//
// Armers use it, which take no lock: every member is atomic.  The timers on the same clock are in
// TimerIndex, under the lock of the queue.

#ifndef KEVENT_CORE_QUEUE_KERNEL_TIMER_H_
#define KEVENT_CORE_QUEUE_KERNEL_TIMER_H_

#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/base/kernel_register.h"
#include "core/timers/clocks.h"
#include "core/timers/setting.h"

namespace kevent::core {

// The value of a KernelTimer's KernelRegister: larger is earlier, 0 is no deadline, so that zeroed
// memory is a disarmed timerfd.
inline constexpr uint64_t Earliness(Nanoseconds deadline) {
  return deadline == 0 ? 0 : kLatest + 1 - deadline;
}
inline constexpr Nanoseconds DeadlineOf(uint64_t earliness) {
  return earliness == 0 ? 0 : kLatest + 1 - earliness;
}

// Aligned, so that armers on one clock do not share a line of memory with those on another.  Zeroed
// memory is unused.
struct alignas(64) KernelTimer {
  KernelRegister armed;
  std::atomic<int> source;  // number of the timerfd or alarm, plus one; 0: none
  std::atomic<clockid_t> clock;
  std::atomic<AxisKind> kind;
  std::atomic<bool> relative_on_monotonic;
  std::atomic<bool> alarm_fired;  // CPU time: the alarm has expired and was not set since
  std::atomic<bool> ended;        // CPU time: the thread is known to have ended

  // True if the deadline in a register of this kind has come.
  static bool HasCome(KernelRegister::State armed, Nanoseconds now) {
    return armed.value() != 0 && DeadlineOf(armed.value()) <= now;
  }

  // True if at this moment the timerfd makes the queue readable, as far as the kernel was told.
  bool IsReadable(Nanoseconds now) const {
    const KernelRegister::State seen = armed.Load();
    return kind.load(std::memory_order_relaxed) != AxisKind::kCpuTime && seen.told() &&
           HasCome(seen, now);
  }

  // True if the timerfd is readable though its deadline has not come, since its clock was set.
  bool IsReadableInVain() const;

  // For a clock of CPU time: true if the thread or process that it measures has not ended.  Another
  // one may have its id by now.
  bool OwnerLives();

  // As OwnerLives, for a deadline that has come: the alarm is put off, which the end of the
  // collection does anyhow.
  bool OwnerLivesAndPutOff();

  // True if a deadline has come by the CPU time of a thread that has the id of the owner, which has
  // ended.
  bool HasComeForAnother(Nanoseconds now);

  // True if the deadline that the kernel was told of has come.
  bool IsPast() const;

 private:
  // The number of the alarm, or -1 if the kernel object is none.
  int Alarm() const;
};
static_assert(sizeof(KernelTimer) == 64);

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_KERNEL_TIMER_H_
