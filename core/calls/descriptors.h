// SPDX-License-Identifier: MIT
//
// What becomes of queues when a program closes or copies descriptors.  Each
// call returns a result that is not negative, or a negative errno value, and is
// async-signal-safe.

#ifndef KEVENT_CORE_CALLS_DESCRIPTORS_H_
#define KEVENT_CORE_CALLS_DESCRIPTORS_H_

#include <absl/base/optimization.h>

#include <optional>

#include "core/calls/aio.h"
#include "core/descriptors/closing.h"
#include "core/descriptors/names.h"
#include "core/descriptors/range_closes.h"
#include "core/descriptors/registry.h"
#include "core/descriptors/replacement.h"
#include "core/kevents/watched_fds.h"
#include "core/system/system.h"

namespace kevent::core {

// The calling thread has a table of descriptors of its own now, unless it was alone with
// the one that it had: the kernel copies none for one thread (unshare_fd).
void LeaveTable();

// A call on this number concerns us: it is registered.
inline bool Concerns(int fd) { return !Registry::Get(fd).none(); }

// Some number is registered, or was.
inline bool ConcernsAny() { return !Registry::empty(); }

// The calling thread's descriptors are those of the process's queues.
bool OwnsTable();

// A call that closes a range, from before it asks what concerns us until it has.  With
// signals blocked where a handler could leave it that uses a queue.  In a table of
// descriptors that is not the queues' it concerns nobody: a child of vfork, which has
// our memory, may be killed there.
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

// Whether dup3 would put another file under `target`.
bool WouldReplace(int fd, int target, int flags);
// Whether the system has close_range: a sandbox may refuse it.
bool CanCloseRanges();

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

// fcntl on a number that concerns us, for what is not a duplicate: whether it is
// answered here, with *result.  The signal by which a file announces I/O is the
// engine's mark (F_SETSIG): of a queue, which never announces any, the program sets
// and reads one of its own.  Numbers that the engine keeps for itself are EBADF.
bool ControlHere(int fd, int command, void* argument, int* result);

// ---- Before a descriptor is closed or replaced ----

// Asynchronous operations that have not begun lose their descriptor, and kevents
// theirs.
inline void Loses(unsigned first, unsigned last) {
  Watched::LetGo(first, last);
  if (ABSL_PREDICT_FALSE(AnyToLoseDescriptors())) LosesDescriptors(first, last);
}
inline void Loses(int fd) {
  if (fd < 0) return;
  Watched::LetGo(fd);
  const auto number = static_cast<unsigned>(fd);
  if (ABSL_PREDICT_FALSE(AnyToLoseDescriptors())) LosesDescriptors(number, number);
}

// And if one is about to take its place.  Not by a call that fails, which leaves
// them alone.
inline void Replaces(int fd, int target, int flags = 0) {
  if (ABSL_PREDICT_TRUE(!Watched::Is(target) && !AnyToLoseDescriptors())) return;
  if (WouldReplace(fd, target, flags)) Loses(target);
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_DESCRIPTORS_H_
