// SPDX-License-Identifier: MIT
//
// KEVENT_KEVENT: a queue inside a queue.  id.raw[0] is the descriptor of the inner queue, which
// stays a queue of its own: its events are collected there.

#include <sys/epoll.h>

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/names.h"
#include "core/descriptors/registry.h"
#include "core/kevents/event_set.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

uint32_t EpollEvents(const Kevent& record) {
  return EventSet::WatchedEvents(
      record, EPOLLIN | ((record.req_flags & KEVENT_REQ_ET) != 0 ? EPOLLET : 0u));
}

int Attach(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  if (record.key.id >> 32 != 0) return -EINVAL;
  const int fd = static_cast<int>(record.key.id);
  const Registration named = Registry::Get(fd);
  if (!named.is_name() || (!SeesCloses() && !StillNamed(fd, named))) {
    return IsOpen(fd) ? -EINVAL : -EBADF;
  }
  if (named.queue() == set.queue().number()) return -ELOOP;
  if (!record.paused && (record.req_flags & (KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_READY)) == 0 &&
      sys::PollNow(fd, POLLIN) > 0) {
    record.found_data[0] = KEVENT_KEVENT_READY;
    return Source::kReadyNow;
  }
  int error = set.Watch(number, fd, EpollEvents(record));
  if (error < 0) return error;
  error = set.Nest(number);
  if (error < 0) set.Unwatch(number);
  return error;
}

int Change(EventSet& set, uint32_t number, const ukevent&) {
  return set.Rewatch(number, EpollEvents(set.At(number)));
}

bool Harvest(EventSet&, Kevent& record, uint32_t) {
  record.found_data[0] = KEVENT_KEVENT_READY;
  return true;
}

bool Deliver(EventSet&, Kevent& record, bool check) {
  return !check || sys::PollNow(record.fd, POLLIN) > 0;
}

}  // namespace

constexpr Source kQueueSource = {.events = KEVENT_KEVENT_READY,
                                 .attach = Attach,
                                 .change = Change,
                                 .harvest = Harvest,
                                 .deliver = Deliver};

}  // namespace kevent::core
