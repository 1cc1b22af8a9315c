// SPDX-License-Identifier: MIT
//
// mq_notify for messages that complete into a queue.

#ifndef KEVENT_CORE_CALLS_MESSAGE_QUEUE_CALLS_H_
#define KEVENT_CORE_CALLS_MESSAGE_QUEUE_CALLS_H_

#include <signal.h>

namespace kevent::core {

// Returns 0 or an errno.
int NotifyOfMessage(int message_queue, const sigevent& notification);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_MESSAGE_QUEUE_CALLS_H_
