// SPDX-License-Identifier: MIT
//
// getaddrinfo_a for look-ups that complete into a queue.  Results are 0 or an errno.

#ifndef KEVENT_CORE_CALLS_LOOKUP_CALLS_H_
#define KEVENT_CORE_CALLS_LOOKUP_CALLS_H_

#include <netdb.h>
#include <signal.h>

#include <cstdint>

namespace kevent::core {

// Called before the C library is asked for look-ups: returns when no thread of the engine looks at
// one of these requests because of an earlier list.
void BeforeLookup(gaicb* const list[], int count);

// Takes everything that the end of a list needs.  Then the C library is asked for the look-ups,
// without a notification; if it agrees the list is waited for, and otherwise dropped.
int PrepareLookup(gaicb* const list[], int count, const sigevent& notification, uint32_t* number);
void AwaitLookup(uint32_t number);
void DropLookup(uint32_t number);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_LOOKUP_CALLS_H_
