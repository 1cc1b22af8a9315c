// SPDX-License-Identifier: MIT

#include "core/queue/second_timer.h"

#include <sys/epoll.h>
#include <time.h>

#include "core/descriptors/internal_descriptors.h"
#include "core/system/system.h"

namespace kevent::core {

void SecondTimer::Make(uint32_t queue, int epoll) {
  if (exists()) return;
  const int fd =
      AdoptDescriptor(queue, kRoleSecondTimer, [] { return sys::CreateTimerfd(CLOCK_MONOTONIC); });
  if (fd < 0) return;
  if (sys::EpollAdd(epoll, fd, EPOLLIN) < 0) return ReleaseDescriptor(fd, queue, kRoleSecondTimer);
  told_.store(0, std::memory_order_relaxed);
  number_.store(fd + 1, std::memory_order_release);
}

void SecondTimer::Close(uint32_t queue) {
  const int fd = number_.exchange(0, std::memory_order_acq_rel) - 1;
  told_.store(0, std::memory_order_relaxed);
  if (fd >= 0) ReleaseDescriptor(fd, queue, kRoleSecondTimer);
}

// A timer that comes before the next deadline is set, and so is one that has come, since the queue
// stays readable by it.  Another one is set only if there is a deadline to tell ahead.
int SecondTimer::SetAhead(uint32_t queue, const NextDeadlines& next) {
  const Nanoseconds ahead = next.AreApart() ? next.second : 0;
  const Nanoseconds before = told();
  if (before == ahead) return 0;
  const bool in_vain = before != 0 && (next.first == 0 || before < next.first);
  return ahead != 0 || in_vain ? Set(queue, ahead) : 0;
}

// A number that was closed by a system call that the library does not see may be a stranger's: it
// is not set, and nothing is left to it.
int SecondTimer::Set(uint32_t queue, Nanoseconds deadline) {
  const int fd = number();
  const bool owned = OwnsDescriptor(fd, queue, kRoleSecondTimer);
  const int result = owned ? sys::ArmTimerfd(fd, deadline, false) : 0;
  told_.store(owned && result == 0 ? deadline : 0, std::memory_order_relaxed);
  return result;
}

const char* SecondTimer::Check() const {
  return told() != 0 && !exists() ? "a second timer is set that was not made" : nullptr;
}

}  // namespace kevent::core
