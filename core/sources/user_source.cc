// SPDX-License-Identifier: MIT
//
// KEVENT_UNOTIFY: events of the program's own, under any id.  Only kevent_ctl(READY) makes such a
// kevent ready.

#include "core/kevents/event_set.h"

namespace kevent::core {
namespace {

int Attach(EventSet& set, uint32_t number, const ukevent& request) {
  // As in 2006: with KEVENT_REQ_ALWAYS_QUEUE the kevent is ready at once.
  if ((request.req_flags & KEVENT_REQ_ALWAYS_QUEUE) != 0) set.Force(number);
  return 0;
}

}  // namespace

constexpr Source kUserSource = {.events = KEVENT_UNOTIFY_EVENT, .attach = Attach};

}  // namespace kevent::core
