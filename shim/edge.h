// SPDX-License-Identifier: MIT
//
// The exported edge: the only place that sets errno, and only on failure.

#ifndef KEVENT_SHIM_EDGE_H_
#define KEVENT_SHIM_EDGE_H_

#include <cerrno>

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

// Gives a function of this file the library's own name, kevent_<name>, too.  If an object brings
// the library into a program that has neither linked nor preloaded it, the plain name is the C
// library's there, and this one is still found.
#ifdef __clang__
#define KEVENT_SECOND_NAME_OF(name) KEVENT_EXPORT __attribute__((__alias__(#name)))
#else
#define KEVENT_SECOND_NAME_OF(name) KEVENT_EXPORT __attribute__((__alias__(#name), __copy__(name)))
#endif
#define KEVENT_OWN_NAME(name) KEVENT_SECOND_NAME_OF(name) decltype(name) kevent_##name

namespace kevent::shim {

// Returns a result as it is; for a negative errno value sets errno and returns -1.
inline int Finish(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace kevent::shim

#endif  // KEVENT_SHIM_EDGE_H_
