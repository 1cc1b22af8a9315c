// SPDX-License-Identifier: MIT

#include "bench/kevbench/table.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace kevbench {
namespace {

// Characters, not bytes: every byte but those that continue one.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string ThreeDigits(double value) {
  const double size = std::fabs(value);
  if (size > 0 && size < 0.9995) {
    return absl::StrFormat("%.*f", 2 - static_cast<int>(std::floor(std::log10(size))), value);
  }
  if (size >= 99.95) return absl::StrFormat("%.0f", value);
  if (size >= 9.995) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.2f", value);
}

}  // namespace

std::string InMarkdown(const Table& table) {
  std::string out = absl::StrCat("| ", absl::StrJoin(table.headings, " | "), " |\n|---|");
  for (size_t i = 1; i < table.headings.size(); ++i) absl::StrAppend(&out, "---:|");
  absl::StrAppend(&out, "\n");
  for (const auto& row : table.rows) {
    absl::StrAppend(&out, "| ", absl::StrJoin(row, " | "), " |\n");
  }
  return out;
}

std::string ForTerminal(const Table& table) {
  std::vector<size_t> widths;
  for (const std::string& heading : table.headings) widths.push_back(Width(heading));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - Width(row[i]), ' ');
      if (i == 0) {
        absl::StrAppend(&out, row[i], space);
      } else {
        absl::StrAppend(&out, "  ", space, row[i]);
      }
    }
    absl::StrAppend(&out, "\n");
  };
  line(table.headings);
  for (const auto& row : table.rows) line(row);
  return out;
}

std::string Format(double value, Unit unit) {
  if (unit == Unit::kBytes) return absl::StrFormat("%.0f B", value);
  if (unit == Unit::kPercent) return absl::StrFormat("%.0f %%", value);
  if (unit == Unit::kCount) return ThreeDigits(value);
  if (unit == Unit::kRate) return absl::StrCat(ThreeDigits(value / 1e6), " M/s");
  constexpr std::array<absl::string_view, 4> kUnits = {"ns", "µs", "ms", "s"};
  size_t step = 0;
  while (step + 1 < kUnits.size() && std::fabs(value) >= 999.5) {
    value /= 1000;
    ++step;
  }
  return absl::StrCat(ThreeDigits(value), " ", kUnits[step]);
}

std::string FormatCount(size_t count) {
  if (count < 1000) return absl::StrCat(count);
  return absl::StrFormat("%s %03d", FormatCount(count / 1000), count % 1000);
}

std::string FormatRatio(double ratio) {
  if (ratio >= 9.95) return absl::StrFormat("%.0f", ratio);
  if (ratio >= 1.995) return absl::StrFormat("%.1f", ratio);
  return absl::StrFormat("%.2f", ratio);
}

}  // namespace kevbench
