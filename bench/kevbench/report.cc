// SPDX-License-Identifier: MIT

#include "bench/kevbench/report.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "bench/kevbench/table.h"

namespace kevbench {
namespace {

std::string Heading(const Shown& shown, size_t timers, size_t sizes) {
  if (sizes == 1 && !shown.heading.empty()) return std::string(shown.heading);
  return absl::StrCat(shown.heading, shown.heading.empty() ? "" : ", ", FormatCount(timers));
}

std::string Field(const Workload& workload, const Shown& shown, size_t timers, const WayInfo& way,
                  const Results& results) {
  const auto value = results.Median(workload.name, timers, way.name, shown.metric);
  if (!value) {
    const Cell* const cell = results.Find(workload.name, timers, way.name);
    return cell == nullptr || cell->note.empty() ? "-" : cell->note;
  }
  std::string out = Format(*value, shown.unit);
  if (way.kind == Kind::kLibkevent || shown.unit == Unit::kPercent || shown.unit == Unit::kRate) {
    return out;
  }
  const auto ours = results.Median(workload.name, timers, Ways().front().name, shown.metric);
  if (ours && *ours > 0 && *value > 0) absl::StrAppend(&out, " ×", FormatRatio(*value / *ours));
  return out;
}

}  // namespace

std::string Report(const Workload& workload, const Results& results, const Style& style) {
  const std::vector<size_t>& sizes =
      style.pace == Pace::kSmoke ? workload.smoke_sizes : workload.sizes;
  Table table;
  table.headings.emplace_back("");
  for (const size_t timers : sizes) {
    for (const Shown& shown : workload.shown) {
      table.headings.push_back(Heading(shown, timers, sizes.size()));
    }
  }
  for (const WayInfo& way : Ways()) {
    std::vector<std::string> row = {std::string(way.name)};
    for (const size_t timers : sizes) {
      for (const Shown& shown : workload.shown) {
        row.push_back(Field(workload, shown, timers, way, results));
      }
    }
    // Nothing to be said: not a way of doing this.
    if (std::all_of(row.begin() + 1, row.end(), [](const auto& it) { return it == "-"; })) continue;
    // What is to be said of the whole way is said once.
    for (size_t i = 2; i < row.size(); ++i) {
      if (row[i] == row[1] && row[i].find("missing") == 0) row[i] = "";
    }
    table.rows.push_back(std::move(row));
  }
  return absl::StrCat(style.markdown ? "**" : "", workload.name, style.markdown ? "**" : "", ": ",
                      workload.title, "\n", style.markdown ? "\n" : "",
                      style.markdown ? InMarkdown(table) : ForTerminal(table));
}

}  // namespace kevbench
