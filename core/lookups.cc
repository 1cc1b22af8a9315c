// SPDX-License-Identifier: MIT
//
// getaddrinfo_a.  The look-ups are the C library's, and so is the thread that it
// makes when a list is done, which is all that it offers beside signals.

#include <cerrno>
#include <cstring>

#include "core/aio.h"
#include "core/completions.h"
#include "core/signals_blocked.h"

namespace kevent::core {
namespace {

void LookupDone(sigval operation) {
  const SignalsBlocked blocked;
  Complete(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(operation.sival_ptr)));
}

}  // namespace

int BeginLookup(const void* first, const sigevent& notification, sigevent* callback) {
  uint32_t number;
  if (const int error = Operations::Allocate(&number); error != 0) return error;
  Operation& lookup = Operations::At(number);
  if (const int error = PlanNotification(notification, &lookup); error != 0) {
    Operations::Free(number);
    return error;
  }
  lookup.type = KEVENT_GAI;
  lookup.event = KEVENT_GAI_DONE;
  lookup.id = reinterpret_cast<uint64_t>(first);
  lookup.data[0] = lookup.data[1] = 0;
  std::memset(callback, 0, sizeof *callback);
  callback->sigev_notify = SIGEV_THREAD;
  callback->sigev_notify_function = &LookupDone;
  callback->sigev_value.sival_ptr = reinterpret_cast<void*>(uintptr_t{number});
  return 0;
}

void DropLookup(const sigevent& callback) {
  Operations::Free(
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(callback.sigev_value.sival_ptr)));
}

}  // namespace kevent::core
