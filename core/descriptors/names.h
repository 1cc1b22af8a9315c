// SPDX-License-Identifier: MIT
//
// Descriptors that name queues, as far as the registry of descriptors needs to know them.

#ifndef KEVENT_CORE_DESCRIPTORS_NAMES_H_
#define KEVENT_CORE_DESCRIPTORS_NAMES_H_

#include <atomic>
#include <cstdint>

#include "core/descriptors/registry.h"

namespace kevent::core {

// True if the program's close comes to the library.  If it does not, as in a program that does not
// know of a library that uses this one, the number of a queue can be a stranger's at any time, and
// is looked at before each use.
inline constinit std::atomic<bool> g_sees_closes{true};
inline void SetSeesCloses(bool sees) { g_sees_closes.store(sees, std::memory_order_relaxed); }
inline bool SeesCloses() { return g_sees_closes.load(std::memory_order_relaxed); }

// The number is registered as the name of a queue and may have been closed unseen.  True if it
// still is the name; if not, removes the registration.
bool StillNamed(int fd, Registration name);

// Called when a number no longer names what was registered for it.
void Forget(Registration before);

// ---- Answered by the queues (core/queue/queues.cc) ----

// True if the descriptor is this queue's, whatever is registered for it: a number may be a
// stranger's after it was closed by a system call that the library does not see, or by another
// thread meanwhile.
bool IsNameOf(int fd, uint32_t queue);
// The queue loses a name; the last one closes it.
void DropName(uint32_t queue);
// A call of dup2 onto a number of the queue's that was left has failed; true if the call may close
// the number.
bool MayCloseLeft(uint32_t queue, int fd);

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_NAMES_H_
