// SPDX-License-Identifier: MIT

#include "adapters/kqueue/filter.h"

#include <sys/stat.h>

#include <cerrno>

namespace kevent::kqueue {

const Filter* FilterOf(int16_t number) {
  switch (number) {
    case EVFILT_READ:
      return &kReadFilter;
    case EVFILT_WRITE:
      return &kWriteFilter;
    case EVFILT_VNODE:
      return &kVnodeFilter;
    case EVFILT_PROC:
      return &kProcessFilter;
    case EVFILT_SIGNAL:
      return &kSignalFilter;
    case EVFILT_TIMER:
      return &kTimerFilter;
    case EVFILT_USER:
      return &kUserFilter;
    default:
      return nullptr;
  }
}

void TakeParameters(Knote& knote, const Event& change) {
  knote.fflags = change.fflags;
  knote.data = change.data;
}

void ClearPending(Knote& knote) {
  knote.is_active = false;
  knote.pending_fflags = 0;
  knote.pending_data = 0;
}

int LookAt(int fd, FileState* state) {
  struct stat status;
  if (fstat(fd, &status) != 0) return errno;
  *state = {status.st_dev,   status.st_ino,  status.st_mode,
            status.st_nlink, status.st_size, status.st_ctim};
  return 0;
}

}  // namespace kevent::kqueue
