// SPDX-License-Identifier: MIT
//
// Records of this thread.

#ifndef KEVENT_ADAPTERS_TRACE_RECORDER_H_
#define KEVENT_ADAPTERS_TRACE_RECORDER_H_

#include <cstdint>

#include "adapters/trace/rings.h"

namespace kevent::trace {

// Makes the process's file if there is none, where the environment asks for it.  Not
// async-signal-safe.
void Begin();

// The index of the place in which something is made.  Not async-signal-safe.
uint32_t PlaceOf(const void* caller);

// ns on CLOCK_MONOTONIC.
uint64_t Now();

// Async-signal-safe; takes no lock, and leaves errno alone.
void Note(What what, uint64_t time, uint64_t id, int64_t first = 0, int64_t second = 0);
// The same of what is made in a place.
void NoteMade(What what, uint64_t time, uint64_t id, int64_t first, int64_t second, uint32_t place);

}  // namespace kevent::trace

#endif  // KEVENT_ADAPTERS_TRACE_RECORDER_H_
