// SPDX-License-Identifier: MIT
//
// <sys/event.h> for this library itself.  Its structure has the name of the project's namespace, so
// here structure and function have another; the function's symbol is the same.

#ifndef KEVENT_ADAPTERS_KQUEUE_EVENT_H_
#define KEVENT_ADAPTERS_KQUEUE_EVENT_H_

#include <kevent/kevent.h>
// What <sys/event.h> includes is included above it, where the name means what it says.
#include <fcntl.h>

#define kevent kqueue_event
#include <sys/event.h>
#undef kevent

namespace kevent::kqueue {

using Event = struct ::kqueue_event;

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_EVENT_H_
