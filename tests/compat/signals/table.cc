// SPDX-License-Identifier: MIT

#include "tests/compat/signals/table.h"

#include <algorithm>
#include <cstdio>

namespace conformance {
namespace {

std::vector<std::string> Wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (!lines.back().empty() && lines.back().size() + 1 + end - begin > width) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back().append(text, begin, end - begin);
    begin = end + 1;
  }
  return lines;
}

}  // namespace

void Table::PrintRow(const std::vector<std::string>& cells) const {
  std::vector<std::vector<std::string>> wrapped;
  size_t height = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    wrapped.push_back(Wrap(cells[i], widths_[i]));
    height = std::max(height, wrapped.back().size());
  }
  for (size_t line = 0; line < height; ++line) {
    std::string text;
    for (size_t i = 0; i < wrapped.size(); ++i) {
      std::string cell = line < wrapped[i].size() ? wrapped[i][line] : "";
      if (cell.size() < widths_[i]) cell.resize(widths_[i], ' ');
      text += (i == 0 ? "" : " | ") + cell;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    std::puts(text.c_str());
  }
}

void Table::PrintRule() const {
  std::string text;
  for (size_t i = 0; i < widths_.size(); ++i) {
    text += (i == 0 ? "" : "-+-") + std::string(widths_[i], '-');
  }
  std::puts(text.c_str());
}

}  // namespace conformance
