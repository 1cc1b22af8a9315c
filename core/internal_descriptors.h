// SPDX-License-Identifier: MIT
//
// Descriptors that the engine keeps for itself.  They lie out of the way of the
// program's own, are registered, and carry a mark: a number that the program has
// closed by a system call that we don't see may be a stranger's by now, who has
// no mark, or another queue's, which is registered.  All functions are
// async-signal-safe.

#ifndef KEVENT_CORE_INTERNAL_DESCRIPTORS_H_
#define KEVENT_CORE_INTERNAL_DESCRIPTORS_H_

#include <cstdint>

#include "core/registry.h"

namespace kevent::core {

// Takes over `fd`, or the negative errno that it is: the number that it has now,
// or a negative errno.
int AdoptDescriptor(int fd, uint32_t queue, uint16_t role);

// Whether the number still is what the queue has it for.
bool OwnsDescriptor(int fd, uint32_t queue, uint16_t role);

// Closes it, if it is.
void ReleaseDescriptor(int fd, uint32_t queue, uint16_t role);

}  // namespace kevent::core

#endif  // KEVENT_CORE_INTERNAL_DESCRIPTORS_H_
