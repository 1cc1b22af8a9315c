// SPDX-License-Identifier: MIT
//
// The exported edge: the only place that sets errno, and only on failure.

#ifndef KEVENT_SHIM_EDGE_H_
#define KEVENT_SHIM_EDGE_H_

#include <cerrno>

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

namespace kevent::shim {

// A result, or a negative errno value.
inline int Finish(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace kevent::shim

#endif  // KEVENT_SHIM_EDGE_H_
