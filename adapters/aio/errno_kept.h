// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_AIO_ERRNO_KEPT_H_
#define KEVENT_ADAPTERS_AIO_ERRNO_KEPT_H_

#include <cerrno>

namespace kevent::aio_adapter {

// A successful call leaves errno alone, whatever it has tried.
class ErrnoKept {
 public:
  ErrnoKept() : before_(errno) {}
  ~ErrnoKept() { errno = before_; }
  ErrnoKept(const ErrnoKept&) = delete;
  ErrnoKept& operator=(const ErrnoKept&) = delete;

 private:
  const int before_;
};

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_ERRNO_KEPT_H_
