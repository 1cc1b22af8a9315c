// SPDX-License-Identifier: MIT
//
// What becomes of queues when a program closes or copies descriptors.  Each
// call returns a result that is not negative, or a negative errno value, and is
// async-signal-safe.

#ifndef KEVENT_CORE_DESCRIPTORS_H_
#define KEVENT_CORE_DESCRIPTORS_H_

#include "core/registry.h"

namespace kevent::core {

// Whether a call on this number, or on numbers in this range, concerns us.
inline bool Concerns(int fd) { return !Registry::Get(fd).none(); }
bool ConcernsRange(unsigned first, unsigned last);

// A new descriptor, whose number was reserved, names a queue.  The caller has
// counted the name.
void NameQueue(int fd, uint32_t queue);

// Whether dup3 would put another file under `target`.
bool WouldReplace(int fd, int target, int flags);
// Whether the system has close_range: a sandbox may refuse it.
bool CanCloseRanges();

// A number no longer names what was registered for it.
void Forget(Registration before);

// For these some descriptor of the call concerns us.
int CloseDescriptor(int fd);
int CloseDescriptors(unsigned first, unsigned last, int flags);
// What close_range would, without it, as far as there is anything of ours: the
// first number that is not closed.
unsigned CloseOneByOne(unsigned first);
int Duplicate(int fd);
int DuplicateFrom(int fd, int lowest, bool close_on_exec);
int DuplicateTo(int fd, int target);             // dup2
int DuplicateTo(int fd, int target, int flags);  // dup3

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_H_
