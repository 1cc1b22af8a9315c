// SPDX-License-Identifier: MIT
//
// How the library's costs grow with the number of timers.

#ifndef KEVENT_BENCH_KEVBENCH_GROWTH_H_
#define KEVENT_BENCH_KEVBENCH_GROWTH_H_

#include "bench/kevbench/report.h"

namespace kevbench {

// Measures each workload at numbers of timers that grow by ten, and adds to the results, as
// workloads named growth and by what they measure.  False if a count was wrong.
bool RunGrowth(Pace pace, Results* results);

// A line for each workload: what it costs at each number, and the factors by which that grew.
std::string ReportGrowth(const Results& results, const Style& style);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_GROWTH_H_
