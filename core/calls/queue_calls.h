// SPDX-License-Identifier: MIT
//
// The kevent_* calls.  Each returns a result that is not negative, or a
// negative errno value.

#ifndef KEVENT_CORE_CALLS_QUEUE_CALLS_H_
#define KEVENT_CORE_CALLS_QUEUE_CALLS_H_

#include <kevent/kevent.h>

#include "core/queue/queue.h"
#include "core/queue/queues.h"

namespace kevent::core {

// Makes a queue, and returns its descriptor.
int InitQueue(kevent_ring* ring, unsigned num, unsigned flags);

// kevent_ctl.  Async-signal-safe when cmd is KEVENT_CTL_READY.
int ControlKevents(int kev_fd, unsigned cmd, unsigned num, ukevent* entries);

// Collects events from the queue kev_fd.  A cancellation point.
int GetEvents(int kev_fd, const Queue::Request& request);

// kevent_wait.  A cancellation point.
int WaitForRing(int kev_fd, unsigned num, unsigned old_uidx, const timespec* timeout,
                unsigned flags);

// kevent_commit.
int CommitRing(int kev_fd, unsigned new_uidx, unsigned over);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_QUEUE_CALLS_H_
