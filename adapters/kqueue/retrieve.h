// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_KQUEUE_RETRIEVE_H_
#define KEVENT_ADAPTERS_KQUEUE_RETRIEVE_H_

#include <time.h>

#include "adapters/kqueue/event.h"
#include "adapters/kqueue/kqueues.h"

namespace kevent::kqueue {

// Retrieves into list[0 .. max-1], with max > 0, from the kqueue whose descriptor fd is, and stores
// how many in *got; 0 or an errno.  A cancellation point while it waits.
int Retrieve(Found found, int fd, Event* list, int max, const timespec* timeout, int* got);

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_RETRIEVE_H_
