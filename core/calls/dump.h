// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_CALLS_DUMP_H_
#define KEVENT_CORE_CALLS_DUMP_H_

namespace kevent::core {

// Writes the state of a queue to `fd` as text: 0 or a negative errno.  Waits for nothing but `fd`:
// if another thread holds the queue's lock, or the caller does, which a handler or a debugger has
// interrupted, the parts that need the lock are left out.  The queue is neither locked nor in use
// while the text is written.  Async-signal-safe.
int DumpQueue(int kev_fd, int fd);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_DUMP_H_
