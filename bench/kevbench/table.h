// SPDX-License-Identifier: MIT
//
// Tables for a terminal, or in Markdown.

#ifndef KEVENT_BENCH_KEVBENCH_TABLE_H_
#define KEVENT_BENCH_KEVBENCH_TABLE_H_

#include <string>
#include <vector>

#include "bench/kevbench/workload.h"

namespace kevbench {

struct Table {
  std::vector<std::string> headings;
  std::vector<std::vector<std::string>> rows;
};

// The first column to the left, the others to the right.
std::string InMarkdown(const Table& table);
std::string ForTerminal(const Table& table);

// Three digits: "42.1 ns", "1.31 ms".
std::string Format(double value, Unit unit);
// "10 000".
std::string FormatCount(size_t count);
// "7.5", "120".
std::string FormatRatio(double ratio);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_TABLE_H_
