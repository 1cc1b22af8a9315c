// SPDX-License-Identifier: MIT
//
// The notification of a list whose parts are done on different sides: it is made when both parts
// have ended.

#ifndef KEVENT_ADAPTERS_AIO_BARRIER_H_
#define KEVENT_ADAPTERS_AIO_BARRIER_H_

#include <aio.h>
#include <semaphore.h>
#include <signal.h>

#include "adapters/aio/sides.h"

namespace kevent::aio_adapter {

// Behind each operation of the list there is one of the barrier's own, which does nothing and ends
// after it: the program may use its control blocks again as soon as they have ended, before the
// list has.  A thread that blocks all signals waits for those, and notifies; it is there before the
// list begins, when it can still be refused.
class Barrier {
 public:
  // For a list of so many operations; nullptr if there is no memory or no thread.
  static Barrier* Make(const sigevent& notification, int count);

  // Adds an operation of this descriptor and aio_reqprio that has just begun, or could not.
  void Add(int fd, int priority, Side side);
  // All are added: afterwards the barrier is the thread's.
  void Complete() { sem_post(&complete_); }

 private:
  static void* Run(void* barrier);

  sem_t complete_;
  sigevent notification_;
  aiocb* controls_;
  int count_;
};

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_BARRIER_H_
