// SPDX-License-Identifier: MIT

#include "core/calls/dump.h"
#include "core/calls/queue_calls.h"
#include "shim/edge.h"

using kevent::shim::Finish;
namespace core = kevent::core;

KEVENT_EXPORT int kevent_init(kevent_ring* ring, unsigned num, unsigned flags) {
  return Finish(core::InitQueue(ring, num, flags));
}

KEVENT_EXPORT int kevent_ctl(int kev_fd, unsigned cmd, unsigned num, ukevent* arg) {
  return Finish(core::ControlKevents(kev_fd, cmd, num, arg));
}

KEVENT_EXPORT int kevent_wait(int kev_fd, unsigned num, unsigned old_uidx, const timespec* timeout,
                              unsigned flags) {
  return Finish(core::WaitForRing(kev_fd, num, old_uidx, timeout, flags));
}

KEVENT_EXPORT int kevent_commit(int kev_fd, unsigned new_uidx, unsigned over) {
  return Finish(core::CommitRing(kev_fd, new_uidx, over));
}

KEVENT_EXPORT int kevent_get_events(int kev_fd, unsigned min_nr, unsigned max_nr,
                                    const timespec* timeout, ukevent* events, unsigned flags) {
  return Finish(core::GetEvents(kev_fd, {min_nr, max_nr, events, timeout, flags, nullptr}));
}

KEVENT_EXPORT int kevent_pget_events(int kev_fd, unsigned min_nr, unsigned max_nr,
                                     const timespec* timeout, ukevent* events, unsigned flags,
                                     const sigset_t* sigmask) {
  return Finish(core::GetEvents(kev_fd, {min_nr, max_nr, events, timeout, flags, sigmask}));
}

KEVENT_EXPORT int kevent_dump(int kev_fd, int fd) { return Finish(core::DumpQueue(kev_fd, fd)); }

KEVENT_EXPORT const char* kevent_version() { return KEVENT_VERSION; }
