// SPDX-License-Identifier: MIT
//
// A Source is one type of event, as the set of kevents sees it.  Each is defined in a file of its
// own, core/sources/*.cc, and named in a line of KEVENT_SOURCES below; no other part of the engine
// knows which types there are.

#ifndef KEVENT_CORE_KEVENTS_SOURCE_H_
#define KEVENT_CORE_KEVENTS_SOURCE_H_

#include <kevent/kevent.h>

#include <cstdint>
#include <initializer_list>

#include "core/kevents/kevent_table.h"

namespace kevent::core {

class EventSet;

// The hooks run under the queue's lock.  Signals of the thread are blocked in attach, in detach,
// and in a change that is not made in place.  Each hook but attach has a default.
struct Source {
  // attach returns this if the source is ready already: the record says what was found, and nothing
  // was attached.
  static constexpr int kReadyNow = 1;

  // Bits that the mask of interest may have; at least one is needed.  0: kevent_ctl does not take
  // this type, its kevents come by EventSet::AddInternal.
  uint32_t events;

  // The bits that KEVENT_MASK_ALL asks for; 0: all of `events`.
  uint32_t mask_all = 0;

  // The program has closed the descriptor that the record is named by, and no epoll can tell, since
  // it takes no such file: the record goes.  Default: it has not.
  bool (*was_closed)(const Kevent& record) = StaysOpen;

  // A record may name a file that epoll does not take, whose close was_closed tells then.
  bool watches_any_file = false;

  // Begins to watch for record `number`, whose event, req_flags and paused are set.  Returns 0,
  // kReadyNow or a negative errno; after an error the record is erased without detach.
  int (*attach)(EventSet& set, uint32_t number, const ukevent& request);

  // The record has a new event, new req_flags, and a new `paused`.  Returns 0, or a negative errno,
  // after which the set puts the old ones back.  Default: nothing depends on them.
  int (*change)(EventSet& set, uint32_t number, const ukevent& request) = KeepAsIs;

  // `change` makes one system call on the descriptor that the record watches, if that is not the
  // engine's own, and touches no other record.
  bool changes_in_place = false;

  // The record is paused from here on: the kernel is not to report its descriptor again and again.
  // Called under the queue's lock after a delivery.  `change` has the record go on.  Default: the
  // descriptor is watched for nothing.
  void (*pause)(EventSet& set, uint32_t number) = Mute;

  // Ends what attach has begun.  Default: the record's descriptor is watched no more, and
  // closed if it is the engine's.
  void (*detach)(EventSet& set, uint32_t number) = Unwatch;

  // The queue was closed, and every descriptor with it.  Gives back the record's other belongings.
  // Default: nothing.
  void (*forget)(EventSet& set, uint32_t number) = KeepNothing;

  // The kernel reports these epoll events of the record's descriptor.  Notes in the record what was
  // found, and returns true if the source is ready.  Default: it is.
  bool (*harvest)(EventSet& set, Kevent& record, uint32_t epoll_events) = IsReady;

  // All records of the type share one descriptor, a member of the queue's epoll by
  // SharedToken(type).  Hands its news out to the records: when the kernel reports it, and before a
  // record changes.  Default: the type has no such descriptor.
  void (*harvest_shared)(EventSet& set) = HarvestNothing;

  // The record is about to be reported.  Takes from the source what goes with the event, and
  // returns true if the source is ready still.  `check`: the record was found ready in an earlier
  // call and asks for a check before it is reported.  Default: it is ready.
  bool (*deliver)(EventSet& set, Kevent& record, bool check) = StaysReady;

  // A thread waits for several events; returns true if this record, which is ready, is one of them.
  // Nothing may be taken from the source that `deliver` could not take later.  `counted` is 0 for
  // the first record of the type in such a count, and the source's own afterwards.  Default: the
  // answer of `deliver`.
  bool (*counts)(EventSet& set, uint32_t number, uint64_t* counted) = CountsWhileReady;

  // The record was reported, and nothing was taken from the source (`forced`: kevent_ctl had made
  // it ready) or perhaps not all.  Returns true if the source is to be asked again, for another
  // event of the batch: a caller whose batch is not full takes the source for empty.  Called only
  // for descriptors of the engine's own.  Default: it is not.
  bool (*leaves)(const Kevent& record, bool forced) = LeavesNothing;

  uint32_t InterestOf(const ukevent& request) const {
    if (request.event != KEVENT_MASK_ALL) return request.event;
    return mask_all != 0 ? mask_all : events;
  }

  // ---- The defaults ----

  static bool StaysOpen(const Kevent& record);
  static int KeepAsIs(EventSet& set, uint32_t number, const ukevent& request);
  static void Mute(EventSet& set, uint32_t number);
  static void Unwatch(EventSet& set, uint32_t number);
  static void KeepNothing(EventSet& set, uint32_t number);
  static bool IsReady(EventSet& set, Kevent& record, uint32_t epoll_events);
  static void HarvestNothing(EventSet& set);
  static bool StaysReady(EventSet& set, Kevent& record, bool check);
  static bool CountsWhileReady(EventSet& set, uint32_t number, uint64_t* counted);
  static bool LeavesNothing(const Kevent& record, bool forced);
};

// Every type of event, and its source: a new type is one line here.
#define KEVENT_SOURCES(SOURCE)           \
  SOURCE(KEVENT_SOCKET, kSocketSource)   \
  SOURCE(KEVENT_INODE, kInodeSource)     \
  SOURCE(KEVENT_TIMER, kTimerSource)     \
  SOURCE(KEVENT_POLL, kDescriptorSource) \
  SOURCE(KEVENT_NAIO, kTransferSource)   \
  SOURCE(KEVENT_PIPE, kPipeSource)       \
  SOURCE(KEVENT_SIGNAL, kSignalSource)   \
  SOURCE(KEVENT_UNOTIFY, kUserSource)    \
  SOURCE(KEVENT_PROCESS, kProcessSource) \
  SOURCE(KEVENT_KEVENT, kQueueSource)    \
  SOURCE(KEVENT_MQ, kMessageQueueSource)

#define KEVENT_DECLARE_SOURCE(type, source) extern const Source source;
KEVENT_SOURCES(KEVENT_DECLARE_SOURCE)
#undef KEVENT_DECLARE_SOURCE

#define KEVENT_TYPE_OF_SOURCE(type, source) type,
inline constexpr uint32_t kTypesOfSources[] = {KEVENT_SOURCES(KEVENT_TYPE_OF_SOURCE)};
#undef KEVENT_TYPE_OF_SOURCE

// Sources by type; nullptr for a type without one.
struct SourceTable {
  struct Entry {
    uint32_t type;
    const Source* source;
  };
  static constexpr uint32_t kTypes = 64;  // greater than every type

  // A type beyond the table, or one that is named twice, does not compile.
  consteval SourceTable(std::initializer_list<Entry> entries) : sources{} {
    for (const Entry& entry : entries) {
      if (sources[entry.type] != nullptr) IsNamedTwice();
      sources[entry.type] = entry.source;
    }
  }
  static void IsNamedTwice();

  const Source* sources[kTypes];
};
#define KEVENT_SOURCE_ENTRY(type, source) {type, &(source)},

extern const SourceTable kSourceTable;

// The source of this type of event, or nullptr.
inline const Source* SourceOf(uint32_t type) {
  return type < SourceTable::kTypes ? kSourceTable.sources[type] : nullptr;
}
inline const Source& SourceOf(const Kevent& record) {
  return *kSourceTable.sources[record.key.type];
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_SOURCE_H_
