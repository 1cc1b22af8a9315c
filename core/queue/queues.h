// SPDX-License-Identifier: MIT
//
// The queues of the process by number.

#ifndef KEVENT_CORE_QUEUE_QUEUES_H_
#define KEVENT_CORE_QUEUE_QUEUES_H_

#include <atomic>
#include <cstdint>

#include "core/base/lock.h"
#include "core/queue/queue.h"

namespace kevent::core {

class Queues {
 public:
  // The queue with this number; requires that it was opened once.
  static Queue& At(uint32_t number) { return *queues_[number].load(std::memory_order_acquire); }
  // The queue with this number, or nullptr from the first number on that was never opened.
  static Queue* Find(uint32_t number);

  // Pins the queue that a descriptor names: 0, EBADF if the descriptor is not open or the calling
  // thread's table of descriptors is not the process's, or EINVAL if it is something else.
  static int Pin(int kev_fd, Queue** queue);

  // Opens an unused queue under its internal numbers: 0 or an errno.
  static int Open(Queue** queue);
  // Opens this queue if it is not open: in a child of fork, whose parent had it.
  static int OpenAnew(uint32_t number);

  // Notes that a queue with kevents was closed, whose timers are the process's.  Async-signal-safe.
  static void HasUncleared();
  // Takes back the timers of closed queues.  The lock of a queue that is open may be held.
  static void ClearClosed();

  // The part that a fork wipes.  Zeroed memory, ready for Init.
  struct Wiped {
    void Init() { lock.Init(); }

    Lock lock;  // held by a thread that opens a queue
    std::atomic<bool> any_uncleared;
  };

 private:
  // Maps the pages of a queue number that was never used: 0 or an errno.
  static int Map(uint32_t number);

  // A fork leaves this as it is.
  static std::atomic<Queue*> queues_[kMaxQueues];

  static Wiped& State();  // core/process/process.cc
  static void ClearClosedLocked();
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_QUEUES_H_
