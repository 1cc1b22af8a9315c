// SPDX-License-Identifier: MIT
//
// What was measured: for each workload, number of timers and way, each repetition.

#ifndef KEVENT_BENCH_KEVBENCH_RESULTS_H_
#define KEVENT_BENCH_KEVBENCH_RESULTS_H_

#include <absl/strings/string_view.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bench/kevbench/workload.h"

namespace kevbench {

struct Cell {
  std::vector<Metrics> repetitions;
  // Why there are none, or fewer.
  std::string note;
};

class Results {
 public:
  using Key = std::tuple<std::string, size_t, std::string>;  // workload, timers, way

  Cell& operator[](const Key& key) { return cells_[key]; }
  const std::map<Key, Cell>& cells() const { return cells_; }
  const Cell* Find(absl::string_view workload, size_t timers, absl::string_view way) const;
  // Of the repetitions.
  std::optional<double> Median(absl::string_view workload, size_t timers, absl::string_view way,
                               absl::string_view metric) const;

 private:
  std::map<Key, Cell> cells_;
};

double MedianOf(std::vector<double> values);

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_RESULTS_H_
