// SPDX-License-Identifier: MIT
//
// A kind of event source, as the set of kevents sees it: one of these for each
// type of event, in a file of its own.  All under the queue's lock, with the
// signals of the thread blocked.

#ifndef KEVENT_CORE_SOURCE_H_
#define KEVENT_CORE_SOURCE_H_

#include <kevent/kevent.h>

#include <cstdint>

#include "core/kevent_table.h"

namespace kevent::core {

class KeventSet;

struct Source {
  // What attach and change return beside 0 and negative errno values: it is
  // ready already, the record says what was found, and nothing was attached.
  static constexpr int kReadyNow = 1;

  // Bits that the mask of interest may have; one at least is needed.  0: not for
  // kevent_ctl.
  uint32_t events;

  // Begins to watch for record `number`, which has event and req_flags.
  int (*attach)(KeventSet& set, uint32_t number, const ukevent& request);

  // The record's event and req_flags are new; on failure they are put back.
  int (*change)(KeventSet& set, uint32_t number, const ukevent& request);

  void (*detach)(KeventSet& set, uint32_t number);

  // The kernel reports these epoll events of the record's descriptor: whether
  // it is ready; the record says then what was found.  May be null.
  bool (*harvest)(KeventSet& set, Kevent& record, uint32_t epoll_events);

  // It is about to be reported: whether it is ready still.  `check`: it was found
  // ready in an earlier call and asks for a check before it is reported.  May be
  // null.
  bool (*deliver)(KeventSet& set, Kevent& record, bool check);

  // It was reported, and nothing was taken (`forced`: kevent_ctl had made it ready) or
  // perhaps not all: whether to ask again, for an event more in the batch that has room.
  // Who gets a batch that is not full takes what its source had for taken.  May be null.
  bool (*leaves)(const Kevent& record, bool forced);
};

extern const Source kDescriptorSource;  // KEVENT_POLL
extern const Source kSocketSource;
extern const Source kPipeSource;
extern const Source kTimerSource;
extern const Source kInodeSource;
extern const Source kSignalSource;
extern const Source kUserSource;
extern const Source kProcessSource;
extern const Source kQueueSource;
extern const Source kMessageQueueSource;

// Hands out what the inotify of all KEVENT_INODE has to say (source_inode.cc).
void HarvestInotify(KeventSet& set);

// The source of this type of event, or nullptr.
const Source* SourceOf(uint32_t type);

}  // namespace kevent::core

#endif  // KEVENT_CORE_SOURCE_H_
