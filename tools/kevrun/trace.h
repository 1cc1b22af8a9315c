// SPDX-License-Identifier: MIT
//
// kevrun --trace: a timeline of processes, in the JSON format of trace events that ui.perfetto.dev
// and chrome://tracing open.

#pragma once

#include <string>
#include <vector>

#include "tools/kevrun/folder.h"

namespace kevent::kevrun {

// One JSON object.  What cannot be read is told to the standard error, and *dropped counts the
// records that were overwritten or had no ring.
std::string TraceJson(const std::vector<Observed>& files, uint64_t* dropped);

}  // namespace kevent::kevrun
