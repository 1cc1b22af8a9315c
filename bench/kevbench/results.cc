// SPDX-License-Identifier: MIT

#include "bench/kevbench/results.h"

#include <algorithm>

namespace kevbench {

const Cell* Results::Find(absl::string_view workload, size_t timers, absl::string_view way) const {
  const auto found = cells_.find({std::string(workload), timers, std::string(way)});
  return found == cells_.end() ? nullptr : &found->second;
}

std::optional<double> Results::Median(absl::string_view workload, size_t timers,
                                      absl::string_view way, absl::string_view metric) const {
  const Cell* const cell = Find(workload, timers, way);
  if (cell == nullptr) return std::nullopt;
  std::vector<double> values;
  for (const Metrics& metrics : cell->repetitions) {
    const auto found = metrics.find(std::string(metric));
    if (found != metrics.end()) values.push_back(found->second);
  }
  if (values.empty()) return std::nullopt;
  return MedianOf(std::move(values));
}

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace kevbench
