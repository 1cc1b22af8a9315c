// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_KQUEUE_CHANGES_H_
#define KEVENT_ADAPTERS_KQUEUE_CHANGES_H_

#include "adapters/kqueue/event.h"
#include "adapters/kqueue/kqueues.h"

namespace kevent::kqueue {

// Carries out list[0 .. count-1] on the kqueue whose descriptor fd is.  Reports go to
// reports[0 .. room-1], which may be the list; *reported says how many.  0, or the errno of the
// change at which there was no room.  *goes_on is false if the call is to return for lack of room.
// Queue::kIsAnother if fd is another kqueue's, or none's; nothing was done then.
int Carry(Kqueue* kqueue, int fd, const Event* list, int count, Event* reports, int room,
          int* reported, bool* goes_on) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kqueue->lock);

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_CHANGES_H_
