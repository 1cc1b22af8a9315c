// SPDX-License-Identifier: MIT
//
// The thread that the kernel's timers on CPU time wake, one for each process.  It is there as long
// as there is such a timer, which any thread may set at any time, and for a while after that.

#ifndef KEVENT_CORE_QUEUE_ALARM_THREAD_H_
#define KEVENT_CORE_QUEUE_ALARM_THREAD_H_

#include <atomic>
#include <cstdint>

#include "core/base/lock.h"

namespace kevent::core {

// Zeroed memory, ready for Init.
class AlarmThread {
 public:
  void Init() { lock_.Init(); }

  // Makes sure of the thread for one more alarm: its kernel id, or a negative errno.
  int Reserve();
  // Gives the thread back, as the alarm is gone.  Async-signal-safe.
  void Unreserve();

 private:
  void Serve();
  bool Leaves();

  Lock lock_;
  int thread_ ABSL_GUARDED_BY(lock_);  // 0: there is no thread
  std::atomic<uint32_t> alarms_;
  // An alarm of the thread's own, plus one, by which Unreserve has it look: Unreserve needs no
  // memory then.  The thread does not end while a call is about to use that alarm.
  std::atomic<int> look_;
  std::atomic<uint32_t> unreserving_;
};

// The process's alarm thread.
AlarmThread& Alarms();

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_ALARM_THREAD_H_
