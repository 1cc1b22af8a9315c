// SPDX-License-Identifier: MIT

#include "adapters/kqueue/watches.h"

#include <cerrno>

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {
namespace {

uint32_t TypeOf(Watch watch) {
  switch (watch) {
    case Watch::kDescriptor:
      return KEVENT_POLL;
    case Watch::kFile:
    case Watch::kVnode:
      return KEVENT_INODE;
    case Watch::kTimer:
      return KEVENT_TIMER;
    case Watch::kSignal:
      return KEVENT_SIGNAL;
    case Watch::kProcess:
      return KEVENT_PROCESS;
    case Watch::kNothing:
    case Watch::kUser:
      break;
  }
  return KEVENT_UNOTIFY;
}

bool HasOwnId(Watch watch) { return watch == Watch::kTimer || watch == Watch::kUser; }

uint32_t FlagsOf(const Knote& knote) {
  const bool is_descriptor = knote.watch == Watch::kDescriptor;
  uint32_t flags = is_descriptor ? KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_LAST_CHECK : 0;
  if (is_descriptor && (knote.Has(EV_CLEAR) || knote.waits_for_edge)) flags |= KEVENT_REQ_ET;
  if (PausesWithEvent(knote)) flags |= KEVENT_REQ_DISPATCH;
  if (knote.is_active && !knote.is_disabled && !is_descriptor) flags |= KEVENT_REQ_READY;
  return flags;
}

}  // namespace

ukevent RequestOf(const Knotes& knotes, const Knote& knote) {
  return RequestOf(knotes, knote, knote);
}

ukevent RequestOf(const Knotes& knotes, const Knote& place, const Knote& knote) {
  const Handle handle = knotes.HandleOf(place);
  ukevent request = {};
  request.type = TypeOf(knote.watch);
  request.id.raw_u64 = HasOwnId(knote.watch) ? knotes.IdOf(handle) : knote.ident;
  request.ptr = reinterpret_cast<void*>(handle);
  // A kevent on a file keeps nothing of what happens while its mask is empty: one that is disabled
  // goes on, and what comes of it is kept by the registration (Translation::Keep).
  if (knote.is_disabled && knote.watch != Watch::kVnode) return request;
  request.event = knote.watch == Watch::kUser ? KEVENT_UNOTIFY_EVENT : knote.filter->events(knote);
  request.req_flags = FlagsOf(knote);
  return request;
}

// One that waits for an edge may meet several that are none for its filter.  A kevent on a file
// goes on: to modify it may be refused, as inotify opens the file anew.
bool PausesWithEvent(const Knote& knote) {
  return (knote.Has(EV_ONESHOT) || knote.Has(EV_DISPATCH)) && !knote.waits_for_edge &&
         !IsOnFile(knote.watch);
}

bool SaysOnce(Watch watch) {
  return watch == Watch::kFile || watch == Watch::kVnode || watch == Watch::kUser;
}

int Queue::MakeSure() {
  if (is_sure_) return 0;
  ukevent witness = Kqueues::WitnessOf(kqueue_, kqueue_->number.load());
  const int refused = kevent_ctl(fd_, KEVENT_CTL_MODIFY, 1, &witness);
  if (refused == -1) return errno == EINVAL ? kIsAnother : errno;
  if (refused != 0) return kIsAnother;
  is_sure_ = true;
  return 0;
}

int Queue::Control(unsigned command, ukevent* requests, unsigned count) {
  const bool adds = (command & ~KEVENT_CTL_BY_ID) == KEVENT_CTL_ADD;
  const bool modifies = (command & ~KEVENT_CTL_BY_ID) == KEVENT_CTL_MODIFY;
  if (!adds && !modifies) {
    const int error = MakeSure();
    if (error != 0) return error;
  }
  const bool asks = !is_sure_;
  if (asks) requests[0] = Kqueues::WitnessOf(kqueue_, kqueue_->number.load());
  if (kevent_ctl(fd_, command, count + (asks ? 1 : 0), requests + (asks ? 0 : 1)) == -1) {
    return errno == EINVAL ? kIsAnother : errno;
  }
  if (!asks) return 0;
  // The witness is there: it cannot be added, and can be modified.
  is_sure_ = OutcomeOf(requests[0]) == (adds ? EEXIST : 0);
  if (is_sure_) return 0;
  if (adds) kevent_ctl(fd_, KEVENT_CTL_REMOVE, count + 1, requests);
  return kIsAnother;
}

int Queue::Control(unsigned command, const ukevent& request) {
  ukevent requests[2];
  requests[1] = request;
  const int error = Control(command, requests, 1);
  return error != 0 ? error : OutcomeOf(requests[1]);
}

}  // namespace kevent::kqueue
