// SPDX-License-Identifier: MIT
//
// The rings of queues, by descriptor: kevent_wait tells how many events it has moved, and not
// which.

#ifndef KEVENT_ADAPTERS_OBSERVE_RINGS_H_
#define KEVENT_ADAPTERS_OBSERVE_RINGS_H_

#include <kevent/kevent.h>

namespace kevent::observe {

// kevent_init has made a queue of this descriptor, with a ring of so many events or none (null).
void KeepRing(int kev_fd, kevent_ring* ring, unsigned events);

// Copies the event that is the `back`-th before the end of what the queue has moved, 1 being the
// last: unless another thread has moved more since.  False if no ring of the descriptor is known,
// its memory is gone, or the process may not use process_vm_readv(2).
//
// Since then the number may have become a copy of another queue, and the program may have given the
// ring's memory back.  So the kernel copies it, which fails where there is none; what
// else is there may be no event.  Async-signal-safe.  Leaves errno alone.
bool CopyFromRing(int kev_fd, unsigned back, ukevent* event);

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_RINGS_H_
