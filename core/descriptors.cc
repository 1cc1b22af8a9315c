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
  if (Process::QueueAt(found.queue()).MayOwnInternals()) return true;
  Registry::Take(fd);  // closed by a system call that we don't see
  return false;
}

// The number no longer names what was registered for it.
void Forget(Registration taken) {
  if (taken.is_name()) Process::QueueAt(taken.queue()).DropName();
}

// `copy` is a new descriptor for what `original` names.
int Register(int copy, Registration original) {
  if (const int error = Registry::Reserve(copy); error != 0) {
    sys::Close(copy);
    return -error;
  }
  Registry::Set(copy, original);
  return copy;
}

// A further name for what `fd` names.  It is counted before it is made, so that
// the close of the original in another thread does not end the queue in
// between, nor leave the copy without one.
template <typename Copy>
int CopyName(int fd, Copy copy) {
  if (IsInternal(fd)) return -EBADF;
  const Registration original = Registry::Get(fd);
  if (!original.is_name()) return copy();  // closed meanwhile, perhaps a stranger's
  const SignalsBlocked blocked;
  Queue& queue = Process::QueueAt(original.queue());
  if (!queue.AddFurtherName()) return -EBADF;
  int result = copy();
  const bool named = result >= 0 && Process::IsNameOf(result, original.queue());
  if (named) result = Register(result, original);
  if (!named || result < 0) queue.DropName();
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

int Duplicate(int fd) {
  if (!Process::Owns()) return sys::Duplicate(fd);
  return CopyName(fd, [fd] { return sys::Duplicate(fd); });
}

int DuplicateFrom(int fd, int lowest, bool close_on_exec) {
  if (!Process::Owns()) return sys::DuplicateFrom(fd, lowest, close_on_exec);
  return CopyName(fd, [=] { return sys::DuplicateFrom(fd, lowest, close_on_exec); });
}

int DuplicateTo(int fd, int target) {
  // dup2 on one number succeeds if it is open; dup3 refuses.
  if (fd == target) {
    return IsInternal(fd) || sys::DescriptorFlags(fd) < 0 ? -EBADF : target;
  }
  return DuplicateTo(fd, target, 0);
}

int DuplicateTo(int fd, int target, int flags) {
  if (!Process::Owns() || fd == target) return sys::DuplicateTo(fd, target, flags);
  if (IsInternal(fd) || sys::DescriptorFlags(fd) < 0) return -EBADF;
  if (const Registration taken = Registry::Get(target); taken.is_internal()) {
    const SignalsBlocked blocked;
    const int error = Process::QueueAt(taken.queue()).MoveInternal(target, taken.role());
    if (error != 0) return -error;
  }
  const auto replace = [=] {
    const SignalsBlocked blocked;
    const Registration replaced = Registry::Take(target);
    const int result = sys::DuplicateTo(fd, target, flags);
    if (result >= 0) {
      Forget(replaced);
    } else if (!replaced.none()) {
      Registry::Set(target, replaced);
    }
    return result;
  };
  return Registry::Get(fd).is_name() ? CopyName(fd, replace) : replace();
}

}  // namespace kevent::core
