// SPDX-License-Identifier: MIT

#include "core/kevents/source.h"

#include "core/kevents/epoll_members.h"
#include "core/kevents/event_set.h"

namespace kevent::core {

// Weak, so that a unit test can link a table with a type of its own in place of this one.
extern const SourceTable kSourceTable [[gnu::weak]];
constinit const SourceTable kSourceTable({KEVENT_SOURCES(KEVENT_SOURCE_ENTRY)});

bool Source::StaysOpen(const Kevent&) { return false; }

int Source::KeepAsIs(EventSet&, uint32_t, const ukevent&) { return 0; }

void Source::Mute(EventSet& set, uint32_t number) {
  const Kevent& record = set.At(number);
  if (record.fd >= 0 && !record.silenced) set.Rewatch(number, kMuted);
}

void Source::Unwatch(EventSet& set, uint32_t number) { set.Unwatch(number); }

void Source::KeepNothing(EventSet&, uint32_t) {}

bool Source::IsReady(EventSet&, Kevent&, uint32_t) { return true; }

void Source::HarvestNothing(EventSet&) {}

bool Source::StaysReady(EventSet&, Kevent&, bool) { return true; }

bool Source::CountsWhileReady(EventSet& set, uint32_t number, uint64_t*) {
  return set.StillReady(number);
}

bool Source::LeavesNothing(const Kevent&, bool) { return false; }

}  // namespace kevent::core
