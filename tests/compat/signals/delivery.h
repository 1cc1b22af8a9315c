// SPDX-License-Identifier: MIT
//
// How a timer's completions reach the program: the one thing in which the two
// runs of a scenario differ.

#ifndef KEVENT_TESTS_COMPAT_SIGNALS_DELIVERY_H_
#define KEVENT_TESTS_COMPAT_SIGNALS_DELIVERY_H_

#include <signal.h>
#include <time.h>

#include <cstdint>

#include "tests/support/clock.h"

namespace conformance {

using kevent_test::Nanos;

struct Completion {
  uintptr_t cookie = 0;
  int64_t overruns = 0;
};

class Delivery {
 public:
  virtual ~Delivery() = default;

  // Asks for completions of this kind with this cookie.
  virtual sigevent Request(uintptr_t cookie) const = 0;

  // timer_settime, or another call that does the same.
  virtual int Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old);

  // Whether the delivery itself says that something waits to be collected.
  virtual bool Pending() const = 0;

  // Whether timer_gettime may say 1 ns for a periodic timer that is due: the
  // kernel looks at CPU-time timers when the scheduler ticks, and has that for
  // those that it has yet to look at (__posix_cpu_timer_get in
  // kernel/time/posix-cpu-timers.c).
  virtual bool SaysOneNanosecondWhenDue() const = 0;

  // Sleeps until something can be collected, a signal handler has run or the
  // timeout has passed (negative: for ever).  1, 0 when the timeout passed, or
  // a negative errno value.
  virtual int Collect(Nanos timeout, Completion* completion) = 0;
};

// A blocked real-time signal, accepted by sigtimedwait(2).  Made before other
// threads are started: they inherit the signal mask.
class SignalDelivery : public Delivery {
 public:
  SignalDelivery();
  bool SaysOneNanosecondWhenDue() const override { return true; }
  sigevent Request(uintptr_t cookie) const override;
  bool Pending() const override;
  int Collect(Nanos timeout, Completion* completion) override;

 private:
  const int signal_;
  sigset_t set_;
};

// A queue.
class QueueDelivery : public Delivery {
 public:
  // With `batches`, timers are set by kevent_settime, where it can say what is to be done.
  explicit QueueDelivery(bool batches);
  ~QueueDelivery() override;
  int Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old) override;
  bool SaysOneNanosecondWhenDue() const override { return false; }
  sigevent Request(uintptr_t cookie) const override;
  bool Pending() const override;
  int Collect(Nanos timeout, Completion* completion) override;

 private:
  const int fd_;
  const bool batches_;
};

}  // namespace conformance

#endif  // KEVENT_TESTS_COMPAT_SIGNALS_DELIVERY_H_
