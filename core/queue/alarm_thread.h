// SPDX-License-Identifier: MIT
//
// The thread that the kernel's timers on CPU time wake, one a process.  It is there as
// long as there is such a timer, which anybody may set at any time, and for a while
// after that.

#ifndef KEVENT_CORE_QUEUE_ALARM_THREAD_H_
#define KEVENT_CORE_QUEUE_ALARM_THREAD_H_

#include <atomic>
#include <cstdint>

#include "core/base/lock.h"

namespace kevent::core {

// Zeroed memory but for Init.
class AlarmThread {
 public:
  void Init() { lock_.Init(); }

  // The thread will be there for one alarm more: its kernel id, or a negative errno.
  int Reserve();
  // That one is no more.  Async-signal-safe.
  void Unreserve();

 private:
  static void Run(void* alarm_thread);
  void Serve();
  bool Leaves();

  Lock lock_;
  int thread_ ABSL_GUARDED_BY(lock_);  // 0: none
  std::atomic<uint32_t> alarms_;
  // An alarm of the thread's own, plus one, by which Unreserve has it look: it needs no
  // memory then.  The thread does not go while one is about to use that.
  std::atomic<int> look_;
  std::atomic<uint32_t> unreserving_;
};

// The process's.
AlarmThread& Alarms();

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_ALARM_THREAD_H_
