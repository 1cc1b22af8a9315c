// SPDX-License-Identifier: MIT
//
// The effects on queues when a program closes or copies descriptors.  Each call returns a result
// that is not negative, or a negative errno value, and is async-signal-safe.

#ifndef KEVENT_CORE_CALLS_DESCRIPTOR_CALLS_H_
#define KEVENT_CORE_CALLS_DESCRIPTOR_CALLS_H_

#include <absl/base/optimization.h>

#include <optional>

#include "core/calls/aio_calls.h"
#include "core/descriptors/closing.h"
#include "core/descriptors/names.h"
#include "core/descriptors/range_closes.h"
#include "core/descriptors/registry.h"
#include "core/descriptors/replacement.h"
#include "core/kevents/watched_fds.h"
#include "core/system/system.h"

namespace kevent::core {

// The calling thread has a table of descriptors of its own from here on, unless it was alone with
// its table: the kernel copies none for one thread (unshare_fd).
void LeaveTable();

// True if a call on this number concerns the library: the number is registered.
inline bool Concerns(int fd) { return !Registry::Get(fd).none(); }

// True if a number is registered, or ever was.
inline bool ConcernsAny() { return !Registry::empty(); }

// True if the calling thread's descriptors are those of the process's queues.
bool OwnsTable();

// A call that closes a range, from before it asks which numbers concern the library until it has
// closed them.  Signals are blocked where a handler could leave it and use a queue.  In a table of
// descriptors that is not the queues' the call is not counted: a child of vfork, which has its
// parent's memory, may be killed there.
class ClosingRange {
 public:
  ClosingRange();
  ~ClosingRange();
  ClosingRange(const ClosingRange&) = delete;
  ClosingRange& operator=(const ClosingRange&) = delete;

 private:
  const bool any_;
  const sys::SignalSet before_;  // if there are any queues
  std::optional<RangeCloses::Call> call_;
};

// True if dup3 would put another file under `target`.
bool WouldReplace(int fd, int target, int flags);
// True if the system has close_range: a sandbox may refuse it.
bool CanCloseRanges();

// The following calls require that some descriptor of theirs concerns the library.
int CloseDescriptor(int fd);
int CloseDescriptors(unsigned first, unsigned last, int flags);
// Closes what close_range would, without calling it, up to the last registered number; returns the
// first number that is not closed.
unsigned CloseOneByOne(unsigned first);
int Duplicate(int fd);
int DuplicateFrom(int fd, int lowest, bool close_on_exec);
int DuplicateTo(int fd, int target);             // dup2
int DuplicateTo(int fd, int target, int flags);  // dup3

// fcntl on a number that concerns the library, except for duplicates: true if it is answered here,
// with *result.  The signal by which a file announces I/O (F_SETSIG) is the engine's mark: for a
// queue, which never announces any, the program sets and reads a signal that is only stored.
// Numbers that the engine keeps for itself are EBADF.
bool ControlHere(int fd, int command, void* argument, int* result);

// ---- Before a descriptor is closed or replaced ----

// Asynchronous operations that have not begun lose their descriptor, and kevents theirs.
inline void Loses(unsigned first, unsigned last) {
  WatchedFds::Unwatch(first, last);
  if (ABSL_PREDICT_FALSE(AnyToLoseDescriptors())) LosesDescriptors(first, last);
}
inline void Loses(int fd) {
  if (fd < 0) return;
  WatchedFds::Unwatch(fd);
  const auto number = static_cast<unsigned>(fd);
  if (ABSL_PREDICT_FALSE(AnyToLoseDescriptors())) LosesDescriptors(number, number);
}

// Does what Loses does, for a descriptor whose number `fd` is about to take.  A call that fails
// leaves the operations and kevents alone.
inline void Replaces(int fd, int target, int flags = 0) {
  if (ABSL_PREDICT_TRUE(!WatchedFds::Is(target) && !AnyToLoseDescriptors())) return;
  if (WouldReplace(fd, target, flags)) Loses(target);
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_DESCRIPTOR_CALLS_H_
