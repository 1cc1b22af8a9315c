// SPDX-License-Identifier: MIT
//
// Memory of the program's that may be gone.

#ifndef KEVENT_ADAPTERS_OBSERVE_MEMORY_H_
#define KEVENT_ADAPTERS_OBSERVE_MEMORY_H_

#include <cstddef>

namespace kevent::observe {

// Has the kernel copy so many bytes.  False if they are gone, or if the process may not use
// process_vm_readv(2).  Async-signal-safe.  Leaves errno alone.
bool CopyMemory(const void* from, void* to, size_t size);

template <typename Value>
bool Copy(const Value* from, Value* to) {
  return CopyMemory(from, to, sizeof *to);
}

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_MEMORY_H_
