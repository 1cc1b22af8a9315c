// SPDX-License-Identifier: MIT
//
// Putting events back that were taken from the queue of a port and not retrieved.

#ifndef KEVENT_ADAPTERS_PORT_PUT_BACK_H_
#define KEVENT_ADAPTERS_PORT_PUT_BACK_H_

#include <kevent/kevent.h>
#include <port.h>

#include "adapters/port/ports.h"

namespace kevent::port {

inline bool IsOwn(const ukevent& event) { return event.type == KEVENT_UNOTIFY; }

inline port_event_t Event(unsigned short source, int events, uint64_t object, void* user) {
  return {events, source, 0, static_cast<uintptr_t>(object), user};
}

// What an event of any type but those of the library's own says.
port_event_t OfSource(const ukevent& event);

// An event of a timer goes with the timer.
bool IsOfDeletedTimer(const port_event_t& event);

// Puts events back into the queue, under the lock of the ports.  Those for which there is no memory
// come to the front; returns how many.
unsigned PutBack(Port* port, int fd, ukevent* events, unsigned count);
// The same for what the port has left.
unsigned PutBackLeft(Ports* ports, Port* port, int fd);

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_PUT_BACK_H_
