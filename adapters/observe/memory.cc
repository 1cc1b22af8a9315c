// SPDX-License-Identifier: MIT

#include "adapters/observe/memory.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace kevent::observe {

bool CopyMemory(const void* from, void* to, size_t size) {
  const int before = errno;
  const iovec local = {to, size};
  const iovec remote = {const_cast<void*>(from), size};
  const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  errno = before;
  return copied == static_cast<ssize_t>(size);
}

}  // namespace kevent::observe
