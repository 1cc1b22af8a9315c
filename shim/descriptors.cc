// SPDX-License-Identifier: MIT

#include <linux/close_range.h>
#include <sched.h>
#include <stdarg.h>

#include "core/calls/descriptor_calls.h"
#include "core/system/system.h"
#include "shim/edge.h"
#include "shim/libc.h"

namespace core = kevent::core;
namespace sys = kevent::sys;
using kevent::shim::Finish;

namespace {

// fcntl takes one argument of pointer size at most, and passes it on unread.
template <typename Libc>
int Fcntl(Libc libc, int fd, int command, void* argument) {
  if (ABSL_PREDICT_FALSE(core::Concerns(fd))) {
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
      const int lowest = static_cast<int>(reinterpret_cast<intptr_t>(argument));
      return Finish(core::DuplicateFrom(fd, lowest, command == F_DUPFD_CLOEXEC));
    }
    int result;
    if (core::ControlHere(fd, command, argument, &result)) return Finish(result);
  }
  return libc(fd, command, argument);
}

// Makes dup2 or dup3 by `call` if neither number concerns the library; false if one does.  In
// another table of descriptors neither does: a child of vfork, which has its parent's memory, may
// be killed there.
template <typename Call>
bool ReplaceUnconcerned(int fd, int target, Call call, int* result) {
  if (core::ConcernsAny() && !core::OwnsTable()) {
    *result = call();
    return true;
  }
  core::Replacement replacement(target);
  if (core::Concerns(fd) || !replacement.found().none()) return false;
  *result = call();
  if (*result >= 0) replacement.Succeeded();
  return true;
}

}  // namespace

// If the C library's function is not found yet, in a call from inside its look-up, the system call
// itself is made.

KEVENT_EXPORT int close(int fd) {
  const core::Closing closing(fd);
  core::Loses(fd);
  if (core::Concerns(fd)) return Finish(core::CloseDescriptor(fd));
  const auto libc = KEVENT_LIBC(close);
  return libc != nullptr ? libc(fd) : Finish(sys::Close(fd));
}

KEVENT_EXPORT int dup(int fd) noexcept {
  if (core::Concerns(fd)) return Finish(core::Duplicate(fd));
  const auto libc = KEVENT_LIBC(dup);
  return libc != nullptr ? libc(fd) : Finish(sys::Duplicate(fd));
}

KEVENT_EXPORT int dup2(int fd, int target) noexcept {
  const core::Closing closing(target);
  core::Replaces(fd, target);
  const auto libc = KEVENT_LIBC(dup2);
  int result;
  if (libc != nullptr && ReplaceUnconcerned(
                             fd, target, [=] { return libc(fd, target); }, &result)) {
    return result;
  }
  return Finish(core::DuplicateTo(fd, target));
}

KEVENT_EXPORT int dup3(int fd, int target, int flags) noexcept {
  const core::Closing closing(target);
  core::Replaces(fd, target, flags);
  const auto libc = KEVENT_LIBC(dup3);
  int result;
  if (libc != nullptr && ReplaceUnconcerned(
                             fd, target, [=] { return libc(fd, target, flags); }, &result)) {
    return result;
  }
  return Finish(core::DuplicateTo(fd, target, flags));
}

KEVENT_EXPORT int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto libc = KEVENT_LIBC(fcntl);
  if (libc == nullptr) return Finish(sys::Fcntl(fd, command, argument));
  return Fcntl(libc, fd, command, argument);
}

KEVENT_EXPORT int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto libc = KEVENT_LIBC(fcntl64);
  if (libc == nullptr) return Finish(sys::Fcntl(fd, command, argument));
  return Fcntl(libc, fd, command, argument);
}

KEVENT_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  const core::ClosingRange closing_range;
  const auto libc = KEVENT_LIBC(close_range);
  int result;
  if (libc != nullptr && !core::ConcernsAny()) {
    result = libc(first, last, flags);
  } else if (flags == 0 && first <= last && core::CanCloseRanges()) {
    const core::Closing closing(first, last);
    core::Loses(first, last);
    result = Finish(core::CloseDescriptors(first, last, flags));
  } else {
    result = Finish(core::CloseDescriptors(first, last, flags));
  }
  if (result == 0 && (static_cast<unsigned>(flags) & CLOSE_RANGE_UNSHARE) != 0) core::LeaveTable();
  return result;
}

// A thread with a table of descriptors of its own no longer changes the process's queues.
KEVENT_EXPORT int unshare(int flags) noexcept {
  const auto libc = KEVENT_LIBC(unshare);
  const int result = libc != nullptr ? libc(flags) : Finish(sys::Unshare(flags));
  if (result == 0 && (flags & CLONE_FILES) != 0) core::LeaveTable();
  return result;
}

KEVENT_EXPORT void closefrom(int lowest) noexcept {
  const unsigned first = lowest < 0 ? 0 : static_cast<unsigned>(lowest);
  const core::ClosingRange closing_range;
  unsigned rest = first;
  if (core::ConcernsAny()) {
    const core::Closing closing(first, ~0U);
    core::Loses(first, ~0U);
    if (core::CloseDescriptors(first, ~0U, 0) == 0) return;
    rest = core::CloseOneByOne(first);  // the C library has a way without close_range
  }
  const auto libc = KEVENT_LIBC(closefrom);
  if (libc != nullptr) libc(static_cast<int>(rest));
}

KEVENT_OWN_NAME(close);
KEVENT_OWN_NAME(dup);
KEVENT_OWN_NAME(dup2);
KEVENT_OWN_NAME(dup3);
KEVENT_OWN_NAME(fcntl);
KEVENT_OWN_NAME(fcntl64);
KEVENT_OWN_NAME(close_range);
KEVENT_OWN_NAME(closefrom);
KEVENT_OWN_NAME(unshare);
