// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_CALLS_DUMP_H_
#define KEVENT_CORE_CALLS_DUMP_H_

namespace kevent::core {

// Writes to `fd` what state a queue is in: 0 or a negative errno.  Waits for nothing but
// `fd`: what only the queue's lock lets one read is left out if another thread holds it, or
// the caller does, in whose midst a handler or a debugger calls this.  The queue is neither locked
// nor in use while the text is written.  Async-signal-safe.
int DumpQueue(int kev_fd, int fd);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_DUMP_H_
