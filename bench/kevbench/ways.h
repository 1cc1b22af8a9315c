// SPDX-License-Identifier: MIT
//
// All the ways to wait that the benchmark knows, also those that it was built
// without.

#ifndef KEVENT_BENCH_KEVBENCH_WAYS_H_
#define KEVENT_BENCH_KEVBENCH_WAYS_H_

#include <absl/strings/string_view.h>

#include <memory>
#include <vector>

#include "bench/kevbench/way.h"

namespace kevbench {

enum class Kind {
  kLibkevent,
  kLibkeventSeldom,   // collected by the clock: only where waiting is measured
  kLibkeventBatches,  // many settings in one call: only where timers are set and nothing waits
  kKernel,
  kLoop,
  kPoller,  // waits by looking, and never sleeps
};

struct WayInfo {
  absl::string_view name;
  // What CMake looked for, in the names of Debian.
  absl::string_view package;
  Kind kind;
  // Null: not built in.
  std::unique_ptr<Way> (*make)(Recorder*);
  // The way whose calls are the same ones as long as nothing expires.
  absl::string_view arms_as = "";
};

// libkevent first.
const std::vector<WayInfo>& Ways();

// Calls that must succeed, and what must hold: else says so and ends the program.
void Check(bool holds, absl::string_view what);

// Raises the soft limits of descriptors and queued signals to the hard ones, and
// the hard one of descriptors too where that is permitted.
void RaiseLimits();

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_WAYS_H_
