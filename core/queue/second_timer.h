// SPDX-License-Identifier: MIT
//
// A second timerfd on the monotonic clock of a queue, which collectors alone set.
//
// The timer that armers lower (core/queue/kernel_timer.h), the first, has come when a collector
// looks, and is set to the earliest deadline then: that programs the clock hardware, which in a
// virtual machine means a switch to the host.  A timer that is not the earliest of its processor is
// only noted, and programmed by the interrupt of the one before.  So the two take turns, and each
// is set one wake-up ahead:
//
//   the next two deadlines    the first timer     the second timer
//   a, b                      a                   b, told ahead
//   b, c: the first has come  c, told ahead       b is left to it
//   c, d: the second has come stays               d, told ahead
//
// The queue is readable by the earlier of the two.  Armers need not know of that: they rely on the
// first timer alone, which is never earlier than what they rely on.  A deadline is left to the
// second timer only when the kernel was told of it before (model: LEFT_TO_A_TIMER_NOT_TOLD), and
// never while the queue is held, as the leader sleeps on the first (model: LEFT_WHILE_HELD).
//
// The functions that change anything need the queue's lock, except Close, which needs the last pin.

#ifndef KEVENT_CORE_QUEUE_SECOND_TIMER_H_
#define KEVENT_CORE_QUEUE_SECOND_TIMER_H_

#include <atomic>
#include <cstdint>

#include "core/base/timespec.h"
#include "core/timers/setting.h"

namespace kevent::core {

class LineWriter;

// The next two deadlines on a clock; 0: there is none, or it is not asked for.
struct NextDeadlines {
  Nanoseconds first;
  Nanoseconds second;

  // True if the second comes so much later that telling it ahead pays.  Two timerfds in turn took
  // more CPU time than one where deadlines were less than 30 us apart (bench/wake_bench.cc).
  bool AreApart() const {
    constexpr Nanoseconds kPays = 30'000;
    return second > first && second - first >= kPays;
  }
};

// Zeroed memory is a timer that was not made.
class SecondTimer {
 public:
  // Makes the timer, a member of the epoll, unless it is there: for lack of a descriptor it stays
  // away, until it is asked for again.
  void Make(uint32_t queue, int epoll);
  // Async-signal-safe.
  void Close(uint32_t queue);

  bool exists() const { return number_.load(std::memory_order_acquire) != 0; }
  int number() const { return number_.load(std::memory_order_acquire) - 1; }
  // Where the number is kept, plus one: for the call that moves it.
  std::atomic<int>* place_of_number() { return &number_; }

  // The deadline that the kernel was told; 0: none.
  Nanoseconds told() const { return told_.load(std::memory_order_relaxed); }
  bool HasCome(Nanoseconds now) const { return told() != 0 && told() <= now; }

  // True if the kernel was told before that it is to come at the next deadline, so that the first
  // timer may be set to the one after that.
  bool Covers(const NextDeadlines& next) const {
    return told() != 0 && told() == next.first && next.AreApart();
  }

  // Sets the timer ahead, when one of the two has come: 0 or a negative errno.  The next deadlines
  // have not come.
  int SetAhead(uint32_t queue, const NextDeadlines& next);

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check() const;
  void Dump(LineWriter& out) const;

 private:
  int Set(uint32_t queue, Nanoseconds deadline);

  std::atomic<int> number_;  // plus one; 0: there is none
  std::atomic<Nanoseconds> told_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_SECOND_TIMER_H_
