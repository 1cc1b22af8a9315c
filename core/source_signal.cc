// SPDX-License-Identifier: MIT
//
// KEVENT_SIGNAL: a signal that the program has blocked, by a signalfd.
// id.raw[0] is its number.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevent_set.h"
#include "core/system.h"

namespace kevent::core {
namespace {

int Attach(KeventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  // To take a signal from its handler is the kernel's alone.
  if ((record.key.id & KEVENT_SIGNAL_NOMASK) != 0) return -EOPNOTSUPP;
  const uint64_t signal = record.key.id;
  if (signal == 0 || signal > 64 || signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
  // It would be delivered as ever, and never come here.
  if ((set.callers_mask() >> (signal - 1) & 1) == 0) return -EINVAL;
  const int signalfd = set.Adopt(sys::CreateSignalfd(static_cast<int>(signal)));
  if (signalfd < 0) return signalfd;
  const int error = set.Watch(number, signalfd, EPOLLIN);
  if (error < 0) {
    set.Abandon(signalfd);
    return error;
  }
  record.fd_is_ours = true;
  return 0;
}

int Change(KeventSet&, uint32_t, const ukevent&) { return 0; }

void Detach(KeventSet& set, uint32_t number) { set.Unwatch(number); }

bool Harvest(KeventSet&, Kevent&, uint32_t) { return true; }

// Only now is the signal taken: what is not collected stays pending.
bool Deliver(KeventSet& set, Kevent& record, bool) {
  // The number may be a stranger's, if the program has closed ours behind our back.
  if (set.Rewatch(set.NumberOf(record), EPOLLIN) < 0) return false;
  return sys::TakeSignals(record.fd, &record.found_data[0], &record.found_data[1]) == 0;
}

}  // namespace

constexpr Source kSignalSource = {KEVENT_SIGNAL_DELIVERY, Attach, Change, Detach, Harvest, Deliver};

}  // namespace kevent::core
