// SPDX-License-Identifier: MIT
//
// System calls as linux*.cc makes them: by syscall(2) and not by the C library's functions of the
// same names, some of which this library replaces.

#ifndef KEVENT_CORE_SYSTEM_SYSTEM_CALL_H_
#define KEVENT_CORE_SYSTEM_SYSTEM_CALL_H_

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/errno_kept.h"

namespace kevent::sys {

// The C library's functions for threads, which return an error number, set errno as well if a
// system call of theirs fails.
using core::ErrnoKept;

// Returns the result, or the negative errno; errno itself is left as it was.
template <typename... Arguments>
long Call(long number, Arguments... arguments) {
  const int before = errno;
  const long result = syscall(number, arguments...);
  if (result != -1) return result;
  const int error = errno;
  errno = before;
  return -error;
}

template <typename... Arguments>
int CallInt(long number, Arguments... arguments) {
  return static_cast<int>(Call(number, arguments...));
}

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_SYSTEM_CALL_H_
