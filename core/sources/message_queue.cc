// SPDX-License-Identifier: MIT
//
// KEVENT_MQ: a message has come into an empty POSIX message queue.  Not of
// kevent_ctl: mq_notify registers it, and id is the mqd_t.  The kernel announces the
// message on a netlink socket, as it does for the C library's SIGEV_THREAD.

#include <sys/epoll.h>

#include "core/kevents/event_set.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

int Attach(KeventSet& set, uint32_t number, const ukevent&) {
  const int announcer = set.AdoptAndWatch(number, EPOLLIN, sys::CreateAnnouncer);
  if (announcer < 0) return announcer;
  const auto message_queue = static_cast<int>(set.At(number).key.id);
  const int error = sys::AnnounceMessage(message_queue, announcer);
  if (error < 0) set.Unwatch(number);
  return error;
}

// The kernel says it once.  The socket stays readable, so each harvest asks again until
// the event is collected.
bool Harvest(KeventSet& set, Kevent& record, uint32_t) {
  const int announced = sys::Announcement(record.fd);
  record.ended = announced == 1;
  // The program or the kernel has ended the registration: there is no event.
  if (announced == 0) set.Leave(set.NumberOf(record));
  return announced == 1;
}

}  // namespace

constexpr Source kMessageQueueSource = {.events = 0, .attach = Attach, .harvest = Harvest};

}  // namespace kevent::core
