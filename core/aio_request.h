// SPDX-License-Identifier: MIT
//
// A program's struct aiocb, as this library and the C library both use it.

#ifndef KEVENT_CORE_AIO_REQUEST_H_
#define KEVENT_CORE_AIO_REQUEST_H_

#include <aio.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/operation.h"

namespace kevent::core {

constexpr int kMaxPriorityDelta = 20;  // sysconf(_SC_AIO_PRIO_DELTA_MAX)

// The C library's aio_error reads this member without a lock.
inline bool InProgress(const aiocb* control) {
  return std::atomic_ref(const_cast<aiocb*>(control)->__error_code)
             .load(std::memory_order_seq_cst) == EINPROGRESS;
}

// Where the C library has nothing: which operation it is.  Believed only if that
// says the same.
inline void Mark(aiocb* control, uint32_t number) {
  std::memcpy(control->__glibc_reserved, &number, sizeof number);
}

inline Operation* MarkedBy(const aiocb* control) {
  uint32_t number;
  std::memcpy(&number, control->__glibc_reserved, sizeof number);
  return Operations::Find(number);
}

// Begins one operation; `list` is that of its list, plus one.  0 or an errno.
int StartOperation(sys::Transfer::Kind kind, aiocb* control, uint32_t list);

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_REQUEST_H_
