// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_WAITER_H_
#define KEVENT_CORE_WAITER_H_

#include <cstdint>

#include "core/seq_cst.h"

namespace kevent::core {

// A thread asleep in kevent_get_events.  Lives on its stack; under the queue's
// lock, but for `woken`.
struct Waiter {
  enum class Role { kNone, kLeader, kHoldingLeader, kFollower };

  explicit Waiter(unsigned min) : min_nr(min) {}

  const unsigned min_nr;
  SeqCst<uint32_t> woken{0};  // promoted to leader
  int error = 0;              // why it cannot sleep, without a role
  int timer = -1;             // a timerfd to wake it by, if not by `woken`
  Role role = Role::kNone;
  bool linked = false;  // among the followers
  Waiter* previous = nullptr;
  Waiter* next = nullptr;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_WAITER_H_
