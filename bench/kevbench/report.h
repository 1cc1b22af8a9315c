// SPDX-License-Identifier: MIT
//
// What the results say: a table for each workload, and the targets.

#ifndef KEVENT_BENCH_KEVBENCH_REPORT_H_
#define KEVENT_BENCH_KEVBENCH_REPORT_H_

#include <string>

#include "bench/goals.h"
#include "bench/kevbench/results.h"

namespace kevbench {

struct Style {
  bool markdown;
  Pace pace;
};

// A line for each way: what it costs, and how many times what libkevent costs.
std::string Report(const Workload& workload, const Results& results, const Style& style);

// What libkevent is to reach, and whether it does.
void AddGoals(const Results& results, const kevent::bench::Goals& goals);

// What it was to reach before.
std::string ReportTargets(const Results& results, const Style& style);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_REPORT_H_
