// SPDX-License-Identifier: MIT
//
// The calls that begin and cancel transfers on sockets.

#ifndef KEVENT_CORE_CALLS_TRANSFER_CALLS_H_
#define KEVENT_CORE_CALLS_TRANSFER_CALLS_H_

#include <kevent/kevent.h>

namespace kevent::core {

// Begins transfers, each of which says in `error` if it was refused.  Returns how many were begun,
// or a negative errno for the queue.
int BeginTransfers(int queue_fd, unsigned count, kevent_transfer* transfers);

// Begins one: 0 or a negative errno.
int BeginTransfer(int queue_fd, kevent_transfer transfer);

// Cancels the transfers of a socket, or those with *cookie: aio_cancel's answer, or a negative
// errno.
int CancelTransfers(int queue_fd, int socket, void* const* cookie);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_TRANSFER_CALLS_H_
