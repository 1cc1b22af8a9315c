// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_SIGNALS_BLOCKED_H_
#define KEVENT_CORE_SYSTEM_SIGNALS_BLOCKED_H_

#include "core/system/system.h"

namespace kevent::core {

// Blocks all signals of the thread while a call holds a pin or is about to tell the kernel
// something: a handler cannot interrupt it then, and so cannot leave by siglongjmp with the pin
// held or a stale value told.
class SignalsBlocked {
 public:
  SignalsBlocked() : before_(sys::BlockAllSignals()) {}
  ~SignalsBlocked() { sys::RestoreSignals(before_); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  // The signals that the thread had blocked before.
  sys::SignalSet before() const { return before_; }

 private:
  const sys::SignalSet before_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_SYSTEM_SIGNALS_BLOCKED_H_
