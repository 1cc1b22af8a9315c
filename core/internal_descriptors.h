// SPDX-License-Identifier: MIT
//
// Descriptors that the engine keeps for itself.  They lie out of the way of the
// program's own, are registered, and carry a mark: a number that the program has
// closed by a system call that we don't see may be a stranger's by now, who has
// no mark.  All functions are async-signal-safe.

#ifndef KEVENT_CORE_INTERNAL_DESCRIPTORS_H_
#define KEVENT_CORE_INTERNAL_DESCRIPTORS_H_

#include <cstdint>

#include "core/registry.h"
#include "core/system.h"

namespace kevent::core {

// Takes over `fd`, or the negative errno that it is: the number that it has now,
// or a negative errno.
inline int AdoptDescriptor(int fd, uint32_t queue, uint16_t role) {
  if (fd < 0) return fd;
  fd = sys::MoveHigh(fd);
  int error = -Registry::Reserve(fd);
  if (error == 0) error = sys::Mark(fd);
  if (error != 0) {
    sys::Close(fd);
    return error;
  }
  Registry::Set(fd, Registration::Internal(queue, role));
  return fd;
}

// Closes it, unless the number is a stranger's.
inline void ReleaseDescriptor(int fd, uint32_t queue, uint16_t role) {
  if (!Registry::Change(fd, Registration::Internal(queue, role), Registration())) return;
  if (sys::IsMarked(fd)) sys::Close(fd);
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_INTERNAL_DESCRIPTORS_H_
