// SPDX-License-Identifier: MIT

#include "core/descriptors/names.h"

#include "core/descriptors/process_state.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

// Reads, and changes nothing: the number may be a stranger's.  A name of another queue has the mark
// as well, but is registered as that queue's.  A child of vfork has a table of descriptors of its
// own, and the registry of its parent.
bool StillNamed(int fd, Registration name) {
  if (sys::IsMarked(fd)) return true;
  const SignalsBlocked blocked;
  if (Process::Owns(name.queue()) && Registry::Change(fd, name, {})) Forget(name);
  return false;
}

void Forget(Registration before) {
  if (before.is_name()) DropName(before.queue());
}

}  // namespace kevent::core
