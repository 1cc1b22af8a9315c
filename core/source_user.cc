// SPDX-License-Identifier: MIT
//
// KEVENT_UNOTIFY: events of the program's own.  id is whatever it likes; nothing
// happens but what kevent_ctl(READY) makes happen.

#include "core/kevent_set.h"

namespace kevent::core {
namespace {

int Attach(KeventSet& set, uint32_t number, const ukevent& request) {
  // As in 2006: asked to be queued in any case, there is nothing to wait for.
  if ((request.req_flags & KEVENT_REQ_ALWAYS_QUEUE) != 0) set.MakeReady(number, false);
  return 0;
}

int Change(KeventSet&, uint32_t, const ukevent&) { return 0; }

void Detach(KeventSet&, uint32_t) {}

}  // namespace

constexpr Source kUserSource = {
    KEVENT_UNOTIFY_EVENT, Attach, Change, Detach, nullptr, nullptr, nullptr};

}  // namespace kevent::core
