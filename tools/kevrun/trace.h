// SPDX-License-Identifier: MIT
//
// kevrun --trace: a timeline of processes, in the JSON format of trace events that ui.perfetto.dev
// and chrome://tracing open.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/kevrun/folder.h"

namespace kevent::kevrun {

// Records that are not in a trace, for want of room.
struct Dropped {
  uint64_t oldest = 0;            // overwritten by later ones of their threads
  uint64_t without_ring = 0;      // of threads that found no ring
  std::vector<uint32_t> threads;  // these, or the first of them
};

// One JSON object, which says what was dropped, as *dropped does; `without` are the processes that
// had no room for a file.  What cannot be read is told to the standard error.
std::string TraceJson(const std::vector<Observed>& files, const std::vector<pid_t>& without,
                      const Ended& ended, Dropped* dropped);

}  // namespace kevent::kevrun
