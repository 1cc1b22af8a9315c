// SPDX-License-Identifier: MIT
//
// KEVENT_MQ: a message has come into an empty POSIX message queue.  kevent_ctl does not take this
// type: mq_notify registers it, and id is the mqd_t.  The kernel announces the message on a netlink
// socket, as it does for the C library's SIGEV_THREAD.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevents/event_set.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

int MakeAnnouncer(EventSet& set, uint32_t number) {
  return set.AdoptAndWatch(number, EPOLLIN, sys::CreateAnnouncer);
}

// A registration that the program or the kernel has ended keeps its socket until a collection,
// which may never come.  So ended registrations are dropped here, too; if there is no descriptor
// for this one, also those of other message queues.
int Attach(EventSet& set, uint32_t number, const ukevent&) {
  const uint64_t id = set.At(number).key.id;
  set.DropEndedMessages(id, false);
  int announcer = MakeAnnouncer(set, number);
  if ((announcer == -EMFILE || announcer == -ENFILE) && set.DropEndedMessages(id, true)) {
    announcer = MakeAnnouncer(set, number);
  }
  if (announcer < 0) return announcer;
  const int error = sys::AnnounceMessage(static_cast<int>(id), announcer);
  if (error < 0) {
    set.Unwatch(number);
  } else {
    set.ListenForMessage(number);
  }
  return error;
}

void Detach(EventSet& set, uint32_t number) {
  set.StopListeningForMessage(number);
  set.Unwatch(number);
}

bool HasEnded(const Kevent& record) { return sys::Announcement(record.fd) == 0; }

// The kernel announces a message once.  The socket stays readable, so each harvest asks again until
// the event is collected.
bool Harvest(EventSet& set, Kevent& record, uint32_t) {
  const int announced = sys::Announcement(record.fd);
  record.ended = announced == 1;
  // The program or the kernel has ended the registration: there is no event.
  if (announced == 0) set.Leave(set.NumberOf(record));
  return announced == 1;
}

}  // namespace

void EventSet::ListenForMessage(uint32_t number) {
  At(number).next_watch = message_first_;
  message_first_ = number + 1;
}

void EventSet::StopListeningForMessage(uint32_t number) {
  uint32_t* link = &message_first_;
  while (*link != number + 1) link = &At(*link - 1).next_watch;
  *link = At(number).next_watch;
}

bool EventSet::DropEndedMessages(uint64_t id, bool all) {
  bool any = false;
  for (uint32_t link = message_first_; link != 0;) {
    const uint32_t number = link - 1;
    const Kevent& record = At(number);
    link = record.next_watch;
    if ((!all && record.key.id != id) || !HasEnded(record)) continue;
    Erase(number);
    any = true;
  }
  return any;
}

constexpr Source kMessageQueueSource = {
    .events = 0, .attach = Attach, .detach = Detach, .harvest = Harvest};

}  // namespace kevent::core
