// SPDX-License-Identifier: MIT
//
// EVFILT_PROC: a kevent of the type KEVENT_PROCESS, which goes with its event.

#include <limits.h>

#include <cerrno>

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {
namespace {

// Linux tells no one of another process's fork or exec.
int CheckParameters(uint32_t fflags) { return (fflags & ~NOTE_EXIT) == 0 ? 0 : EOPNOTSUPP; }

int Attach(Knote& knote) {
  knote.watch = Watch::kProcess;
  if (knote.ident == 0 || knote.ident > INT_MAX) return ESRCH;
  return CheckParameters(knote.fflags);
}

int Touch(Knote& knote, const Event& change) {
  // A registration that is enabled again without it still waits for the end.
  if ((change.flags & EV_ADD) == 0) return 0;
  const int error = CheckParameters(change.fflags);
  if (error == 0) TakeParameters(knote, change);
  return error;
}

uint32_t Events(const Knote&) { return KEVENT_PROCESS_EXIT; }

Meaning Meet(Knote& knote, const ukevent& event, uint16_t* flags) {
  *flags = EV_EOF;
  if (event.type == KEVENT_PROCESS) {
    knote.watch = Watch::kNothing;
    // As on FreeBSD, who does not ask for the end is not told of it.
    if (knote.fflags == 0) return Meaning::kGone;
    knote.is_active = true;
    knote.pending_fflags = NOTE_EXIT;
    knote.pending_data = event.ret_data[0];
  }
  return OfPending(knote);
}

}  // namespace

const Filter kProcessFilter = {.number = EVFILT_PROC,
                               .flags = EV_ONESHOT | EV_CLEAR,
                               .of_descriptor = false,
                               .attach = Attach,
                               .touch = Touch,
                               .events = Events,
                               .meet = Meet,
                               .clear = ClearPending};

}  // namespace kevent::kqueue
