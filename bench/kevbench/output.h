// SPDX-License-Identifier: MIT
//
// What is written into files: all numbers as JSON, those that are plotted as
// columns for gnuplot, the tables in Markdown.

#ifndef KEVENT_BENCH_KEVBENCH_OUTPUT_H_
#define KEVENT_BENCH_KEVBENCH_OUTPUT_H_

#include <string>

#include "bench/kevbench/results.h"

namespace kevbench {

// Processor, kernel, libraries, limits: a line each.
std::string DescribeMachine();

void WriteFiles(const std::string& directory, const Results& results, const std::string& markdown);

// The same of RunGrowth: growth.json and growth.md.
void WriteGrowth(const std::string& directory, const Results& results, const std::string& table);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_OUTPUT_H_
