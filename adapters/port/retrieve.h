// SPDX-License-Identifier: MIT
//
// Retrieving events from a port: port_get and port_getn.

#ifndef KEVENT_ADAPTERS_PORT_RETRIEVE_H_
#define KEVENT_ADAPTERS_PORT_RETRIEVE_H_

#include <port.h>

#include "adapters/port/ports.h"

namespace kevent::port {

// How many events a call can wait for: their room is on its stack.
inline constexpr unsigned kMostWanted = 8192;

// Retrieves into list[0 .. max-1], with max > 0 and wanted <= max, and stores how many in *got; 0
// or an errno.  A cancellation point while it waits.
int Retrieve(Ports* ports, int fd, port_event_t* list, unsigned max, unsigned wanted,
             const timespec* timeout, unsigned* got);

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_RETRIEVE_H_
