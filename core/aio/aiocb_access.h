// SPDX-License-Identifier: MIT
//
// A program's struct aiocb, as this library and the C library both use it.

#ifndef KEVENT_CORE_AIO_AIOCB_ACCESS_H_
#define KEVENT_CORE_AIO_AIOCB_ACCESS_H_

#include <aio.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/aio/io_ordering.h"
#include "core/operations/operation.h"

namespace kevent::core {

constexpr int kMaxPriorityDelta = 20;  // sysconf(_SC_AIO_PRIO_DELTA_MAX)

// The C library's aio_error reads this member without a lock.
inline bool InProgress(const aiocb* control) {
  return std::atomic_ref(const_cast<aiocb*>(control)->__error_code)
             .load(std::memory_order_seq_cst) == EINPROGRESS;
}

// Marks the control block with the number of its operation, in a member that the C library does not
// use.  A mark is believed only if the operation names the control block, too.
inline void Mark(aiocb* control, uint32_t number) {
  std::memcpy(control->__glibc_reserved, &number, sizeof number);
}

inline Operation* MarkedBy(const aiocb* control) {
  uint32_t number;
  std::memcpy(&number, control->__glibc_reserved, sizeof number);
  return Operations::Find(number);
}

// State that the operations of one call share: those of a list are often all of one file.
struct Call {
  uint32_t list = 0;  // number plus one
  // Their notifications, if not those of the control blocks: at the end of the call none is left of
  // those that could not begin.
  sigevent* beside = nullptr;
  int fd = -1;
  int status_flags = 0;     // of fd
  bool has_places = false;  // fd has places, as a read at once has shown
  // The reads of a list that are to be tried at once, together.
  IoOrdering::Runnable reads = {};
  unsigned reads_count = 0;
  // The operations of a list that cannot be done at once.
  IoOrdering::Runnable later = {};
  bool writes_later = false;

  const sigevent& NotificationOf(const aiocb* control, uint32_t member) const {
    return beside != nullptr ? beside[member] : control->aio_sigevent;
  }
  void TellNobodyOf(uint32_t member) const {
    if (beside != nullptr) beside[member].sigev_notify = SIGEV_NONE;
  }
};

// Begins one operation of the call: 0 or an errno.  An operation of a list may be left for later.
int StartOperation(sys::Transfer::Kind kind, aiocb* control, uint32_t member, Call* call);
// Does a list's reads that can be done at once; leaves the others for later.
void DoReads(Call* call);
// Begins the operations that were left for later; returns the number of those that could not be
// begun, with EAGAIN.
uint32_t BeginLater(Call* call);

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_AIOCB_ACCESS_H_
