// SPDX-License-Identifier: MIT
//
// What a process has done, from the records of its threads.

#pragma once

#include <cstdint>

#include "adapters/trace/rings.h"
#include "tools/kevrun/trace_events.h"

namespace kevent::kevrun {

// Adds the timeline of a process: what its timers were from one moment to the next, collections,
// operations.  What has not ended lasts until `end`, or the last record if that comes later.
void AddTimeline(const trace::Rings& rings, uint64_t end, TraceEvents* events);

}  // namespace kevent::kevrun
