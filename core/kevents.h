// SPDX-License-Identifier: MIT
//
// The kevent_* calls.  Each returns a result that is not negative, or a
// negative errno value.

#ifndef KEVENT_CORE_KEVENTS_H_
#define KEVENT_CORE_KEVENTS_H_

#include <kevent/kevent.h>

#include "core/queue.h"

namespace kevent::core {

// A new queue's descriptor.
int InitQueue(kevent_ring* ring, unsigned num, unsigned flags);

// Events from the queue kev_fd.  A cancellation point.
int GetEvents(int kev_fd, const Queue::Request& request);

// The queue that a descriptor names, pinned: 0, EBADF when it is not open, or
// EINVAL when it is something else.
int PinQueue(int kev_fd, Queue** queue);

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_H_
