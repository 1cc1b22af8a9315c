// SPDX-License-Identifier: MIT
//
// EVFILT_USER: a kevent of the type KEVENT_UNOTIFY.

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {
namespace {

uint32_t Combined(uint32_t fflags, uint32_t change) {
  const uint32_t given = change & NOTE_FFLAGSMASK;
  switch (change & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
      return fflags & given;
    case NOTE_FFOR:
      return fflags | given;
    case NOTE_FFCOPY:
      return given;
    default:
      return fflags;
  }
}

int Attach(Knote& knote) {
  knote.watch = Watch::kUser;
  knote.is_active = (knote.fflags & NOTE_TRIGGER) != 0;
  // A new registration has the flags that it is made with, whatever the operation.
  knote.fflags &= NOTE_FFLAGSMASK;
  return 0;
}

int Touch(Knote& knote, const Event& change) {
  knote.fflags = Combined(knote.fflags, change.fflags);
  knote.data = change.data;
  if ((change.flags & EV_CLEAR) != 0) knote.is_active = false;
  if ((change.fflags & NOTE_TRIGGER) != 0) knote.is_active = true;
  return 0;
}

uint32_t Events(const Knote&) { return KEVENT_UNOTIFY_EVENT; }

Meaning Meet(Knote& knote, const ukevent&, uint16_t*) {
  knote.pending_fflags = knote.fflags;
  knote.pending_data = knote.data;
  return OfPending(knote);
}

}  // namespace

const Filter kUserFilter = {.number = EVFILT_USER,
                            .flags = 0,
                            .of_descriptor = false,
                            .attach = Attach,
                            .touch = Touch,
                            .events = Events,
                            .meet = Meet,
                            .clear = ClearPending};

}  // namespace kevent::kqueue
