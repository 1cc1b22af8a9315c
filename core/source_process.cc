// SPDX-License-Identifier: MIT
//
// KEVENT_PROCESS: the end of a process, by a pidfd.  id.raw[0] is its process
// id.  A child is never reaped: wait(2) finds it as ever.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevent_set.h"
#include "core/system.h"

namespace kevent::core {
namespace {

int Attach(KeventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  if (record.key.id >> 32 != 0 || static_cast<int>(record.key.id) <= 0) return -EINVAL;
  const int pidfd = set.Adopt(sys::CreatePidfd(static_cast<int>(record.key.id)));
  if (pidfd < 0) return pidfd;
  // It becomes readable once: level or edge make no difference.
  const int error = set.Watch(number, pidfd, EPOLLIN);
  if (error < 0) {
    set.Abandon(pidfd);
    return error;
  }
  record.fd_is_ours = true;
  return 0;
}

int Change(KeventSet&, uint32_t, const ukevent&) { return 0; }

void Detach(KeventSet& set, uint32_t number) { set.Unwatch(number); }

bool Harvest(KeventSet&, Kevent&, uint32_t) { return true; }

// There is no second end.
bool Deliver(KeventSet&, Kevent& record, bool) {
  int status = 0;
  const int result = sys::ExitStatus(record.fd, &status);
  if (result == -EAGAIN) return false;
  record.found_data[0] = result == 0 ? static_cast<uint32_t>(status) : 0;
  record.found_flags = result == 0 ? 0u : KEVENT_RET_NO_STATUS;
  record.ended = true;
  return true;
}

}  // namespace

constexpr Source kProcessSource = {KEVENT_PROCESS_EXIT, Attach, Change, Detach, Harvest, Deliver};

}  // namespace kevent::core
