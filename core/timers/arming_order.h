// SPDX-License-Identifier: MIT
//
// Numbers the settings that a thread makes, so that equal deadlines come out in the order in which
// one thread armed them.

#ifndef KEVENT_CORE_TIMERS_ARMING_ORDER_H_
#define KEVENT_CORE_TIMERS_ARMING_ORDER_H_

#include <cstdint>

namespace kevent::core {

// Thread-local storage of 8 bytes, initial-exec, so that no access ever allocates.  A counter of
// the queue would be one more contended line for threads that arm on one queue.  constinit: without
// it, users of the variable import a function that might initialise it.
extern constinit thread_local uint64_t t_arming_order __attribute__((tls_model("initial-exec")));

// Takes so many numbers; returns the first.
inline uint64_t NextArmingOrders(uint64_t count) {
#if defined(__x86_64__)
  // One instruction, so that a signal handler between the halves of an increment cannot set the
  // count back.  It has no lock prefix, as no other thread sees the count.
  __asm__ volatile("xaddq %0, %1" : "+r"(count), "+m"(t_arming_order));
  return count;
#else
  return __atomic_fetch_add(&t_arming_order, count, __ATOMIC_RELAXED);
#endif
}

inline uint64_t NextArmingOrder() { return NextArmingOrders(1); }

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_ARMING_ORDER_H_
