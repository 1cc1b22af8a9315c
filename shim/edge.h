// SPDX-License-Identifier: MIT
//
// The exported edge: the only place that sets errno, and only on failure.

#ifndef KEVENT_SHIM_EDGE_H_
#define KEVENT_SHIM_EDGE_H_

#include <cerrno>

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

// The library's own name, kevent_<name>, for a function of this file.  Where an
// object brings the library into a program that has neither linked nor preloaded
// it, the name that the C library has too is found there.
#ifdef __clang__
#define KEVENT_SECOND_NAME_OF(name) KEVENT_EXPORT __attribute__((__alias__(#name)))
#else
#define KEVENT_SECOND_NAME_OF(name) KEVENT_EXPORT __attribute__((__alias__(#name), __copy__(name)))
#endif
#define KEVENT_OWN_NAME(name) KEVENT_SECOND_NAME_OF(name) decltype(name) kevent_##name

namespace kevent::shim {

// A result, or a negative errno value.
inline int Finish(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace kevent::shim

#endif  // KEVENT_SHIM_EDGE_H_
