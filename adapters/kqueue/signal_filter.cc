// SPDX-License-Identifier: MIT
//
// EVFILT_SIGNAL: a kevent of the type KEVENT_SIGNAL, which needs the signal blocked.

#include <limits.h>
#include <signal.h>

#include <cerrno>

#include "adapters/kqueue/filter.h"
#include "adapters/kqueue/signals.h"

namespace kevent::kqueue {
namespace {

int Attach(Knote& knote) {
  knote.watch = Watch::kSignal;
  if (knote.ident == 0 || knote.ident >= NSIG) return EINVAL;
  return BlockSignal(static_cast<int>(knote.ident));
}

int Touch(Knote&, const Event&) { return 0; }

uint32_t Events(const Knote&) { return KEVENT_SIGNAL_DELIVERY; }

Meaning Meet(Knote& knote, const ukevent& event, uint16_t*) {
  knote.pending_data += event.ret_data[0];
  knote.is_active = knote.pending_data != 0;
  return OfPending(knote);
}

}  // namespace

const Filter kSignalFilter = {.number = EVFILT_SIGNAL,
                              .flags = EV_CLEAR,
                              .of_descriptor = false,
                              .attach = Attach,
                              .touch = Touch,
                              .events = Events,
                              .meet = Meet,
                              .clear = ClearPending};

}  // namespace kevent::kqueue
