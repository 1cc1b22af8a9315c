// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_PORT_COUNT_H_
#define KEVENT_ADAPTERS_PORT_COUNT_H_

#include "adapters/port/ports.h"

namespace kevent::port {

// Stores how many events there are: 0 or an errno.
int Count(Ports* ports, int fd, unsigned* count);

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_COUNT_H_
