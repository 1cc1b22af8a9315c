// SPDX-License-Identifier: MIT

#include "core/descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>

#include <cerrno>
#include <climits>

#include "core/process.h"
#include "core/queue.h"
#include "core/signals_blocked.h"
#include "core/system.h"

namespace kevent::core {
namespace {

// Whether the number is one that the engine keeps for itself.
bool IsInternal(int fd) {
  const Registration found = Registry::Get(fd);
  if (!found.is_internal()) return false;
  if (sys::IsMarked(fd)) return true;
  Registry::Change(fd, found, {});  // closed by a system call that we don't see
  return false;
}

// Whether the program has one open; an internal number is not its own.
bool IsOpen(int fd) { return !IsInternal(fd) && sys::DescriptorFlags(fd) >= 0; }

// Another file is there now.
void Replaced(int fd, Registration before) {
  if (before.none() || (before.is_name() && Process::IsNameOf(fd, before.queue()))) return;
  if (Registry::Change(fd, before, {})) Forget(before);
}

// A further name for what `fd` names.  It is counted before it is made, so that
// the close of the original in another thread does not end the queue in
// between, nor leave the copy without one.
template <typename Copy>
int CopyName(int fd, Copy copy) {
  const Registration original = Registry::Get(fd);
  if (!original.is_name()) return copy();  // closed meanwhile, perhaps a stranger's
  const SignalsBlocked blocked;
  Queue& queue = Process::QueueAt(original.queue());
  if (!queue.AddFurtherName()) return -EBADF;
  const int result = copy();
  if (result >= 0 && Process::IsNameOf(result, original.queue())) {
    const int error = Registry::Reserve(result);
    if (error == 0) {
      NameQueue(result, original.queue());
      return result;
    }
    sys::Close(result);
    queue.DropName();
    return -error;
  }
  queue.DropName();
  return result;
}

int CloseAroundInternals(unsigned first, unsigned last) {
  const int end = last > INT_MAX ? INT_MAX : static_cast<int>(last);
  unsigned gap = first;
  for (int fd = Registry::Next(static_cast<int>(first), end); fd >= 0;
       fd = Registry::Next(fd + 1, end)) {
    if (!Registry::Get(fd).is_internal()) continue;
    const auto spared = static_cast<unsigned>(fd);
    if (gap < spared) {
      if (const int error = sys::CloseRange(gap, spared - 1, 0); error < 0) return error;
    }
    gap = spared + 1;
  }
  return gap <= last ? sys::CloseRange(gap, last, 0) : 0;
}

}  // namespace

// What was registered was closed by a system call that we don't see, or is
// another thread's who duplicates onto the same number: what the kernel has there
// in the end is what counts.
void NameQueue(int fd, uint32_t queue) {
  const Registration name = Registration::Name(queue);
  Registration other = Registry::Replace(fd, name);
  if (other.is_name() && other.queue() != queue && !Process::IsNameOf(fd, queue) &&
      Registry::Change(fd, name, other)) {
    other = name;
  }
  Forget(other);
}

void Forget(Registration before) {
  if (before.is_name()) Process::QueueAt(before.queue()).DropName();
}

// Reads, and changes nothing: the number may be anybody's.  A name of another queue
// has the mark as well, but is registered as that one's.  A child of vfork has the
// table of descriptors of its own, and the registry of its parent.
bool StillNamed(int fd, Registration name) {
  if (sys::IsMarked(fd)) return true;
  const SignalsBlocked blocked;
  if (Process::Owns() && Registry::Change(fd, name, {})) Forget(name);
  return false;
}

bool ConcernsRange(unsigned first, unsigned last) {
  if (first > last || first > INT_MAX) return false;
  return Registry::Next(static_cast<int>(first),
                        last > INT_MAX ? INT_MAX : static_cast<int>(last)) >= 0;
}

int CloseDescriptor(int fd) {
  // A child of vfork closes in its own table of descriptors, with our memory.
  if (!Process::Owns()) return sys::Close(fd);
  if (IsInternal(fd)) return -EBADF;
  const SignalsBlocked blocked;  // a handler that leaves would leave it half closed
  Forget(Registry::BeginClose(fd));
  const int result = sys::Close(fd);
  Registry::EndClose(fd);
  return result;
}

int CloseDescriptors(unsigned first, unsigned last, int flags) {
  // CLOEXEC closes nothing now; after UNSHARE the calling thread has left the
  // table of descriptors that the queues live in.
  if (flags != 0 || !Process::Owns()) return sys::CloseRange(first, last, flags);

  // Where a sandbox refuses the call, nothing is to be forgotten.
  if (const int error = sys::CloseRange(INT_MAX, INT_MAX, 0); error < 0) return error;
  const SignalsBlocked blocked;
  const int end = last > INT_MAX ? INT_MAX : static_cast<int>(last);
  const auto for_each = [first, end](auto visit) {
    for (int fd = Registry::Next(static_cast<int>(first), end); fd >= 0;
         fd = Registry::Next(fd + 1, end)) {
      visit(fd);
    }
  };
  for_each([](int fd) {
    if (!IsInternal(fd)) Forget(Registry::BeginClose(fd));
  });
  const int result = CloseAroundInternals(first, last);
  for_each([](int fd) { Registry::EndClose(fd); });
  return result;
}

unsigned CloseOneByOne(unsigned first) {
  unsigned end = first;
  for (int fd = Registry::Next(static_cast<int>(first), INT_MAX); fd >= 0;
       fd = Registry::Next(fd + 1, INT_MAX)) {
    end = static_cast<unsigned>(fd) + 1;
  }
  for (unsigned fd = first; fd < end; ++fd) CloseDescriptor(static_cast<int>(fd));
  return end;
}

bool WouldReplace(int fd, int target, int flags) {
  return Process::Owns() && fd != target && (flags & ~O_CLOEXEC) == 0 && IsOpen(fd) &&
         target < sys::DescriptorLimit();
}

bool CanCloseRanges() { return sys::CloseRange(INT_MAX, INT_MAX, 0) == 0; }

int Duplicate(int fd) {
  if (!Process::Owns()) return sys::Duplicate(fd);
  if (IsInternal(fd)) return -EBADF;
  return CopyName(fd, [fd] { return sys::Duplicate(fd); });
}

int DuplicateFrom(int fd, int lowest, bool close_on_exec) {
  if (!Process::Owns()) return sys::DuplicateFrom(fd, lowest, close_on_exec);
  if (IsInternal(fd)) return -EBADF;
  return CopyName(fd, [=] { return sys::DuplicateFrom(fd, lowest, close_on_exec); });
}

int DuplicateTo(int fd, int target) {
  // dup2 on one number succeeds if it is open; dup3 refuses.
  if (fd == target) {
    return IsOpen(fd) ? target : -EBADF;
  }
  return DuplicateTo(fd, target, 0);
}

// Until the system call has succeeded the number names what it did.
int DuplicateTo(int fd, int target, int flags) {
  if (!Process::Owns() || fd == target) return sys::DuplicateTo(fd, target, flags);
  if (!IsOpen(fd)) return -EBADF;
  if ((flags & ~O_CLOEXEC) != 0) return -EINVAL;
  // Beyond what can be registered the call itself fails.
  if (Registry::Get(fd).is_name() && target >= 0 && Registry::Reserve(target) == ENOMEM) {
    return -ENOMEM;
  }
  const SignalsBlocked blocked;
  const bool moves = IsInternal(target);
  if (moves) {
    const Registration taken = Registry::Get(target);
    const int error = Process::QueueAt(taken.queue()).MoveInternal(target, taken.role());
    if (error != 0) return -error;
  }
  const Registration before = Registry::Get(target);
  const int result = CopyName(fd, [=] { return sys::DuplicateTo(fd, target, flags); });
  if (result >= 0) {
    Replaced(target, before);
  } else if (moves) {
    sys::Close(target);
  }
  return result;
}

}  // namespace kevent::core
