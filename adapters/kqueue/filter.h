// SPDX-License-Identifier: MIT
//
// What a filter of kqueue is made of.

#ifndef KEVENT_ADAPTERS_KQUEUE_FILTER_H_
#define KEVENT_ADAPTERS_KQUEUE_FILTER_H_

#include <kevent/kevent.h>

#include <cstdint>

#include "adapters/kqueue/event.h"
#include "adapters/kqueue/knotes.h"

namespace kevent::kqueue {

// What an event of the queue means for a registration.
enum class Meaning {
  kNothing,  // the filter's condition is not true
  kReport,   // pending_fflags and pending_data are to be reported
  kGone,     // nothing is left to watch, and nothing to report
};

struct Filter {
  int16_t number;  // EVFILT_...
  uint16_t flags;  // that a registration has in any case
  bool of_descriptor;

  // For a registration that is new: looks at its parameters and its source, and says how it is
  // watched.  0 or an errno.
  int (*attach)(Knote& knote);
  // A change to a registration that is there.  0 or an errno, with nothing changed.
  int (*touch)(Knote& knote, const Event& change);
  // The events of the kevent.
  uint32_t (*events)(const Knote& knote);
  // Looks at an event of the queue and at its source.  Flags beyond those of the registration are
  // stored in *flags.
  Meaning (*meet)(Knote& knote, const ukevent& event, uint16_t* flags);
  // With EV_CLEAR, what was reported is over.
  void (*clear)(Knote& knote);
};

// nullptr for an unknown one.
const Filter* FilterOf(int16_t number);

extern const Filter kReadFilter;
extern const Filter kWriteFilter;
extern const Filter kVnodeFilter;
extern const Filter kProcessFilter;
extern const Filter kSignalFilter;
extern const Filter kTimerFilter;
extern const Filter kUserFilter;

// ---- What filters have in common ----------------------------------------------

void TakeParameters(Knote& knote, const Event& change);
void ClearPending(Knote& knote);

// Whether the registration has something to report, whatever its source says.
inline Meaning OfPending(const Knote& knote) {
  return knote.is_active ? Meaning::kReport : Meaning::kNothing;
}

// 0 or an errno.
int LookAt(int fd, FileState* state);
inline bool IsSameFile(const FileState& a, const FileState& b) {
  return a.device == b.device && a.inode == b.inode;
}

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_FILTER_H_
