// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_NOTIFICATION_H_
#define KEVENT_CORE_BASE_NOTIFICATION_H_

#include <kevent/kevent.h>
#include <signal.h>

namespace kevent::core {

// True if the notification goes to a queue: exactly SIGEV_KEVENT.
inline bool IsKeventNotification(const sigevent* notification) {
  return notification != nullptr && notification->sigev_notify == SIGEV_KEVENT;
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_NOTIFICATION_H_
