// SPDX-License-Identifier: MIT

#include "core/calls/descriptor_calls.h"

#include <fcntl.h>
#include <linux/close_range.h>

#include <cerrno>
#include <climits>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/replacement.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

constexpr int kMostPauses = 30;  // of 0.1 ms each, and more
constexpr int kLastSignal = 64;

// True if the calling thread's descriptors are those that the number is registered
// among.  They are not in a child of vfork, nor in a thread that has left the process's table
// (unshare), both of which run with the process's memory: there the call is the kernel's alone.
bool OwnsTableOf(int fd) {
  const Registration found = Registry::Get(fd);
  const bool of_queue = found.is_name() || (found.is_internal() && !found.is_of_process());
  return of_queue ? Process::Owns(found.queue()) : Process::Owns();
}

// Another file is under this number now.
void Replaced(int fd, Registration before) {
  if (before.none() || (before.is_name() && IsNameOf(fd, before.queue()))) return;
  if (Registry::Change(fd, before, {})) Forget(before);
}

// dup2 has put a queue's epoll under this number.  Another thread may have put another file there
// since, before the number is registered or after: the file that the kernel has there in the end
// counts.
void NameReplaced(int fd, uint32_t queue) {
  const Registration name = Registration::Name(queue);
  Registration other = Registry::Replace(fd, name);
  if (!IsNameOf(fd, queue)) {
    const bool others = other.is_name() && other.queue() != queue && IsNameOf(fd, other.queue());
    const Registration right = others ? other : Registration();
    if (Registry::Change(fd, name, right)) {
      if (!others) Forget(other);
      other = name;
    }
  }
  Forget(other);
}

// Makes a further name for the queue that `fd` names.  The name is counted before it is made, so
// that the close of the original in another thread does not end the queue in between, nor leave the
// copy without one.
//
// Registers the copy by `name(copy, queue)`, and returns its result.
template <typename Copy, typename Name>
int CopyName(int fd, Copy copy, Name name) {
  const Registration original = Registry::Get(fd);
  if (!original.is_name()) return copy();  // closed meanwhile, perhaps a stranger's
  const SignalsBlocked blocked;
  Queue& queue = Queues::At(original.queue());
  if (!queue.AddFurtherName()) return -EBADF;
  const int result = copy();
  if (result < 0 || !IsNameOf(result, original.queue())) {
    queue.DropName();
    return result;
  }
  return name(result, original.queue());
}

// Does what CopyName does for a copy under a number that the kernel chooses.
template <typename Copy>
int CopyNameAnywhere(int fd, Copy copy) {
  for (;;) {
    const Taking taking;
    const Registry::Moment before = Registry::Now();
    const int result = CopyName(fd, copy, [before](int number, uint32_t queue) {
      if (const int error = Registry::Reserve(number); error != 0) {
        sys::Close(number);
        Queues::At(queue).DropName();
        return -error;
      }
      if (NameNew(number, before, queue)) return number;
      Queues::At(queue).DropName();
      return -EAGAIN;
    });
    if (result != -EAGAIN) return result;
  }
}

// Makes room for dup2 on a number that may be registered: 0, or EBUSY.  Waits until a descriptor
// there is made or closed, and for threads that use it; not for long, since they may wait for this
// thread, whose handler calls dup2.
int MakeRoom(int target) {
  for (int left = kMostPauses; left != 0;) {
    const Registration found = Registry::Get(target);
    if (found.is_closing() || found.is_new()) {
      sys::Pause();
      --left;
    } else if (!found.is_internal() || found.role() == kRoleMadeAndLeft) {
      return 0;
    } else if (!sys::IsMarked(target)) {
      Registry::Change(target, found, {});  // closed by a system call that the library does not see
    } else if (found.is_of_process()) {
      return EBUSY;
    } else {
      Queue& queue = Queues::At(found.queue());
      int error = EAGAIN;
      if (!found.is_left()) {
        error = queue.MoveInternal(target, found.role());
        if (error != 0 && error != EAGAIN) return error;
      } else if (queue.IsUnused(target)) {
        return 0;
      }
      if (error == EAGAIN) {
        sys::Pause();
        --left;
      }
    }
  }
  return EBUSY;
}

// Registers a number of the program's as being closed; if it is the engine's or is being closed
// already, changes nothing and returns false.  Only the thread that has registered the number
// closes it: it may be between its last look and its system call.
bool BeginClosing(int fd, Registration closing) {
  Registration found;
  do {
    if (IsInternal(fd)) return false;
    found = Registry::Get(fd);
    if (found.none()) return true;
    if (found.is_closing()) return false;
  } while (found.is_internal() || !Registry::Change(fd, found, closing));
  Forget(found);
  return true;
}

// Asked of a number that was the engine's or being closed: false if that is over, and the number
// has been given to the program since, but is still registered.
bool IsClosedByAnother(int fd) { return IsInternal(fd) || sys::IsMarked(fd); }

int CloseAround(unsigned first, unsigned last, Registration closing) {
  const int end = last > INT_MAX ? INT_MAX : static_cast<int>(last);
  unsigned gap = first;
  for (int fd = Registry::Next(static_cast<int>(first), end); fd >= 0;
       fd = Registry::Next(fd + 1, end)) {
    const Registration found = Registry::Get(fd);
    const bool by_another = found.is_closing() && found.bits() != closing.bits();
    if (!found.is_internal() && !(by_another && sys::IsMarked(fd))) continue;
    const auto spared = static_cast<unsigned>(fd);
    if (gap < spared) {
      if (const int error = sys::CloseRange(gap, spared - 1, 0); error < 0) return error;
    }
    gap = spared + 1;
  }
  return gap <= last ? sys::CloseRange(gap, last, 0) : 0;
}

}  // namespace

ClosingRange::ClosingRange() : any_(ConcernsAny()), before_(any_ ? sys::BlockAllSignals() : 0) {
  Process::PrepareIfForked();
  if (!any_ || Process::Owns()) call_.emplace();
}

ClosingRange::~ClosingRange() {
  call_.reset();
  if (any_) sys::RestoreSignals(before_);
}

bool OwnsTable() { return Process::Owns(); }

void LeaveTable() { Process::AskedForTable(); }

int CloseDescriptor(int fd) {
  if (!OwnsTableOf(fd)) return sys::Close(fd);
  const SignalsBlocked blocked;  // a handler that leaves by siglongjmp would leave it half closed
  const Registration closing = Registration::Closing();
  if (!BeginClosing(fd, closing)) return IsClosedByAnother(fd) ? -EBADF : sys::Close(fd);
  const int result = sys::Close(fd);
  // This changes nothing if the number was given to another queue meanwhile.
  Registry::Change(fd, closing, {});
  return result;
}

int CloseDescriptors(unsigned first, unsigned last, int flags) {
  // CLOEXEC closes nothing now; after UNSHARE the calling thread has left the table of descriptors
  // that the queues live in.  No descriptor is beyond INT_MAX.
  const bool closes = flags == 0 && first <= last && first <= INT_MAX;
  const int registered = closes ? Registry::Next(static_cast<int>(first), INT_MAX) : -1;
  if (registered < 0 || !OwnsTableOf(registered)) {
    return sys::CloseRange(first, last, flags);
  }

  // If a sandbox refuses the call, nothing may be forgotten.
  if (const int error = sys::CloseRange(INT_MAX, INT_MAX, 0); error < 0) return error;
  const SignalsBlocked blocked;
  const int end = last > INT_MAX ? INT_MAX : static_cast<int>(last);
  const Registration closing = Registration::Closing();
  const auto for_each = [first, end](auto visit) {
    for (int fd = Registry::Next(static_cast<int>(first), end); fd >= 0;
         fd = Registry::Next(fd + 1, end)) {
      visit(fd);
    }
  };
  for_each([closing](int fd) { BeginClosing(fd, closing); });
  const int result = CloseAround(first, last, closing);
  for_each([closing](int fd) { Registry::Change(fd, closing, {}); });
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
  if (!OwnsTableOf(fd)) return sys::Duplicate(fd);
  if (IsInternal(fd)) return -EBADF;
  return CopyNameAnywhere(fd, [fd] { return sys::Duplicate(fd); });
}

int DuplicateFrom(int fd, int lowest, bool close_on_exec) {
  if (!OwnsTableOf(fd)) return sys::DuplicateFrom(fd, lowest, close_on_exec);
  if (IsInternal(fd)) return -EBADF;
  return CopyNameAnywhere(fd, [=] { return sys::DuplicateFrom(fd, lowest, close_on_exec); });
}

int DuplicateTo(int fd, int target) {
  // On one and the same number, dup2 succeeds if it is open; dup3 refuses.
  if (fd == target) {
    return IsOpen(fd) ? target : -EBADF;
  }
  return DuplicateTo(fd, target, 0);
}

// Until the system call has succeeded the number names the queue that it named before.
int DuplicateTo(int fd, int target, int flags) {
  if (fd == target || !OwnsTableOf(Registry::Get(fd).none() ? target : fd)) {
    return sys::DuplicateTo(fd, target, flags);
  }
  if (!IsOpen(fd)) return -EBADF;
  if ((flags & ~O_CLOEXEC) != 0) return -EINVAL;
  // For a number that cannot be registered the call itself fails.
  if (Registry::Get(fd).is_name() && target >= 0) {
    if (const int error = Registry::Reserve(target); error != 0 && error != EMFILE) return -error;
  }
  const SignalsBlocked blocked;
  Replacement replacement(target);
  if (const int error = MakeRoom(target); error != 0) return -error;
  const Registration before = Registry::Get(target);
  const int result = CopyName(
      fd, [=] { return sys::DuplicateTo(fd, target, flags); },
      [](int number, uint32_t queue) {
        NameReplaced(number, queue);
        return number;
      });
  if (result < 0) return result;
  replacement.Succeeded();
  if (!before.is_left()) Replaced(target, before);
  return result;
}

bool ControlHere(int fd, int command, void* argument, int* result) {
  if (!OwnsTableOf(fd)) return false;
  if (IsInternal(fd)) {
    *result = -EBADF;
    return true;
  }
  const Registration found = Registry::Get(fd);
  if (!found.is_name() || (command != F_SETSIG && command != F_GETSIG)) return false;
  Queue& queue = Queues::At(found.queue());
  const auto signal = reinterpret_cast<intptr_t>(argument);
  if (command == F_GETSIG) {
    *result = queue.io_signal();
  } else if (signal < 0 || signal > kLastSignal) {
    *result = -EINVAL;
  } else {
    queue.set_io_signal(static_cast<int>(signal));
    *result = 0;
  }
  return true;
}

}  // namespace kevent::core
