// SPDX-License-Identifier: MIT

#include "core/internal_descriptors.h"

#include "core/descriptors.h"
#include "core/system.h"

namespace kevent::core {

int AdoptDescriptor(int fd, uint32_t queue, uint16_t role) {
  if (fd < 0) return fd;
  fd = sys::MoveHigh(fd);
  int error = -Registry::Reserve(fd);
  if (error == 0) error = sys::Mark(fd);
  if (error != 0) {
    sys::Close(fd);
    return error;
  }
  // What had the number was closed by a system call that we don't see.
  Forget(Registry::Replace(fd, Registration::Internal(queue, role)));
  return fd;
}

bool OwnsDescriptor(int fd, uint32_t queue, uint16_t role) {
  return Registry::Get(fd).bits() == Registration::Internal(queue, role).bits() &&
         sys::IsMarked(fd);
}

void ReleaseDescriptor(int fd, uint32_t queue, uint16_t role) {
  if (!Registry::Change(fd, Registration::Internal(queue, role), Registration())) return;
  if (sys::IsMarked(fd)) sys::Close(fd);
}

}  // namespace kevent::core
