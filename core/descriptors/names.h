// SPDX-License-Identifier: MIT
//
// Descriptors that name queues, as far as descriptors are concerned.

#ifndef KEVENT_CORE_DESCRIPTORS_NAMES_H_
#define KEVENT_CORE_DESCRIPTORS_NAMES_H_

#include <atomic>
#include <cstdint>

#include "core/descriptors/registry.h"

namespace kevent::core {

// The program's close comes to us, or does not.  Where it does not, as in a program
// that does not know of a library that uses this one, the number of a queue can
// be a stranger's at any time, and is looked at before each use.
inline constinit std::atomic<bool> g_sees_closes{true};
inline void SetSeesCloses(bool sees) { g_sees_closes.store(sees, std::memory_order_relaxed); }
inline bool SeesCloses() { return g_sees_closes.load(std::memory_order_relaxed); }

// The number is registered as the name of a queue and may have been closed unseen:
// true if it still is the name; if not, it is registered no more.
bool StillNamed(int fd, Registration name);

// A number no longer names what was registered for it.
void Forget(Registration before);

// ---- What the queues answer (core/queue/queues.cc) ----

// Whether the descriptor is this queue's, whatever is registered for it: one
// that was closed by a system call that we don't see, or by another thread
// meanwhile, may be a stranger's.
bool IsNameOf(int fd, uint32_t queue);
// A name of the queue's is no more; the last one closes it.
void DropName(uint32_t queue);
// A call of dup2 onto a number of the queue's that was left has failed: whether it may
// close it.
bool MayCloseLeft(uint32_t queue, int fd);

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_NAMES_H_
