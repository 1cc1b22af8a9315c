// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SLEEPERS_H_
#define KEVENT_CORE_SLEEPERS_H_

#include <poll.h>

#include <cstdint>

#include "core/seq_cst.h"

namespace kevent::core {

// A thread asleep in kevent_get_events.  Lives on its stack; under the queue's
// lock, but for `woken`.
struct Sleeper {
  enum class Role { kNone, kLeader, kHoldingLeader, kFollower };

  explicit Sleeper(unsigned min) : min_nr(min) {}

  const unsigned min_nr;
  SeqCst<uint32_t> woken{0};  // promoted to leader
  int error = 0;              // why it cannot sleep, without a role
  int timer = -1;             // a timerfd to wake it by, if not by `woken`
  Role role = Role::kNone;
  // The descriptors that it sleeps on, if not on `woken`, as read under the lock.
  const pollfd* descriptors = nullptr;
  unsigned descriptor_count = 0;
  bool linked = false;  // among the followers
  Sleeper* previous = nullptr;
  Sleeper* next = nullptr;

  bool SleepsOn(int fd) const {
    for (unsigned i = 0; i < descriptor_count; ++i) {
      if (descriptors[i].fd == fd) return true;
    }
    return false;
  }
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_SLEEPERS_H_
