// SPDX-License-Identifier: MIT
//
// KEVENT_PROCESS: the end of a process, by a pidfd.  id.raw[0] is its process id.  A child is never
// reaped here: wait(2) finds it as without the library.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevents/event_set.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

int Attach(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  if (record.key.id >> 32 != 0 || static_cast<int>(record.key.id) <= 0) return -EINVAL;
  const auto create = [&record] { return sys::CreatePidfd(static_cast<int>(record.key.id)); };
  // A pidfd becomes readable once, so level and edge make no difference.
  const int pidfd = set.AdoptAndWatch(number, EventSet::WatchedEvents(record, EPOLLIN), create);
  return pidfd < 0 ? pidfd : 0;
}

int Change(EventSet& set, uint32_t number, const ukevent&) {
  return set.Rewatch(number, EventSet::WatchedEvents(set.At(number), EPOLLIN));
}

// The pidfd says if the process has ended: a question about its status fails for many reasons, for
// processes that live too.
bool Deliver(EventSet& set, Kevent& record, bool) {
  // The number may be a stranger's, if the program has closed the pidfd by a system call
  // of its own.
  if (set.Rewatch(set.NumberOf(record), EPOLLIN) < 0) return false;
  const int ready = sys::PollNow(record.fd, POLLIN);
  if (ready < 0 || (ready & POLLIN) == 0) return false;
  int status = 0;
  const int result = sys::ExitStatus(record.fd, static_cast<int>(record.key.id), &status);
  record.found_data[0] = result == 0 ? static_cast<uint32_t>(status) : 0;
  record.found_data[1] = KEVENT_PROCESS_EXIT;
  record.found_flags = Kevent::kFoundLast | (result == 0 ? 0u : KEVENT_RET_NO_STATUS);
  return true;
}

// An event that kevent_ctl made does not report the end of the process: that is still to come.
bool Leaves(const Kevent&, bool forced) { return forced; }

}  // namespace

constexpr Source kProcessSource = {.events = KEVENT_PROCESS_EXIT,
                                   .attach = Attach,
                                   .change = Change,
                                   .deliver = Deliver,
                                   .leaves = Leaves};

}  // namespace kevent::core
