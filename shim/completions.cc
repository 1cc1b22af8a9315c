// SPDX-License-Identifier: MIT
//
// The other calls that take a struct sigevent.

#include "core/calls/aio_calls.h"
#include "core/calls/lookup_calls.h"
#include "core/calls/message_queue_calls.h"
#include "shim/edge.h"
#include "shim/libc.h"

namespace core = kevent::core;
using kevent::shim::Finish;

KEVENT_EXPORT int mq_notify(mqd_t message_queue, const sigevent* notification) noexcept {
  if (core::IsKeventNotification(notification)) {
    return Finish(-core::NotifyOfMessage(message_queue, *notification));
  }
  const auto libc = KEVENT_LIBC(mq_notify);
  return libc != nullptr ? libc(message_queue, notification) : Finish(-EAGAIN);
}

// getaddrinfo_a fails with a code of its own, EAI_SYSTEM with an errno.
KEVENT_EXPORT int getaddrinfo_a(int mode, gaicb* list[], int count, sigevent* notification) {
  const auto libc = KEVENT_LIBC(getaddrinfo_a);
  if (libc == nullptr) return EAI_AGAIN;
  core::BeforeLookup(list, count);
  // GAI_WAIT makes no notification.
  if (mode != GAI_NOWAIT || !core::IsKeventNotification(notification)) {
    return libc(mode, list, count, notification);
  }
  uint32_t number;
  const int error = core::PrepareLookup(list, count, *notification, &number);
  if (error != 0) {
    errno = error;
    return error == EAGAIN ? EAI_AGAIN : error == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
  }
  sigevent nobody = {};
  nobody.sigev_notify = SIGEV_NONE;
  const int result = libc(mode, list, count, &nobody);
  if (result != 0) {
    const int reason = errno;
    core::DropLookup(number);
    errno = reason;
  } else {
    core::AwaitLookup(number);
  }
  return result;
}

KEVENT_OWN_NAME(mq_notify);
KEVENT_OWN_NAME(getaddrinfo_a);
