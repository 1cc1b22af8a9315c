// SPDX-License-Identifier: MIT
//
// How transfers end: each as a completion of the queue.  Requires the queue's lock.

#ifndef KEVENT_CORE_SOURCES_TRANSFER_ENDS_H_
#define KEVENT_CORE_SOURCES_TRANSFER_ENDS_H_

#include <cstdint>

#include "core/kevents/event_set.h"
#include "core/sources/transfer_line.h"

namespace kevent::core {

// Frees what an operation holds: the copy of its file's descriptor, and its reader.
void GiveBack(EventSet& set, uint32_t number);

// The operation is in no line any more, and its file is not being read.
void End(EventSet& set, uint32_t number);

// Ends those of a line with ECANCELED that have this cookie, or all for nullptr.  One whose file is
// being read stays in line until it was read.
EventSet::Cancelled CancelLine(EventSet& set, Kevent& record, Direction line,
                               const uint64_t* cookie);

// Ends the operations without bytes at the head of a line, when those before them were cancelled:
// no report of epoll would, as they wait for no readiness of the socket.
void EndEmpty(EventSet& set, Kevent& record, Direction line);

// Ends all of a socket's operations with ECANCELED.  One whose file is being read ends when it was
// read, in no line any more.
void EndAll(EventSet& set, Kevent& record);

// Ends all receipts with the errno of one before them: those in line would find a broken stream
// ended, as the kernel tells of the error once.
void EndReceipts(EventSet& set, Kevent& record, uint32_t error);

}  // namespace kevent::core

#endif  // KEVENT_CORE_SOURCES_TRANSFER_ENDS_H_
