// SPDX-License-Identifier: MIT
//
// Runs a workload on Google Benchmark: every way and number of timers, repetitions
// interleaved at random.

#ifndef KEVENT_BENCH_KEVBENCH_DRIVER_H_
#define KEVENT_BENCH_KEVBENCH_DRIVER_H_

#include "bench/kevbench/results.h"
#include "bench/kevbench/workload.h"

namespace kevbench {

// Once, before the first.
void StartDriver();

// False if a count was wrong; what was has been said then.
bool RunWorkload(const Workload& workload, Pace pace, Results* results);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_DRIVER_H_
