// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_ERRNO_KEPT_H_
#define KEVENT_CORE_BASE_ERRNO_KEPT_H_

#include <cerrno>

namespace kevent::core {

// While the object lives, the C library may set errno: afterwards errno has its old value.  A call
// that succeeds leaves the program's alone, whatever it has tried.
class ErrnoKept {
 public:
  ErrnoKept() : before_(errno) {}
  ~ErrnoKept() { errno = before_; }
  ErrnoKept(const ErrnoKept&) = delete;
  ErrnoKept& operator=(const ErrnoKept&) = delete;

 private:
  const int before_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_ERRNO_KEPT_H_
