// SPDX-License-Identifier: MIT
//
// Bounds that the library is to keep beside another way, and whether a run has kept them:
// one table, to which each program of ./tools/bench adds its rows.

#pragma once

#include <absl/strings/string_view.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

namespace kevent::bench {

class Goals {
 public:
  // Rows are appended to this file; an empty name: to none.
  explicit Goals(const std::string& file) {
    if (file.empty()) return;
    out_ = std::fopen(file.c_str(), "ae");
    if (out_ != nullptr) return;
    std::perror(file.c_str());
    std::exit(EXIT_FAILURE);
  }
  ~Goals() {
    if (out_ != nullptr && std::fclose(out_) != 0) std::perror("the table of goals");
  }
  Goals(const Goals&) = delete;
  Goals& operator=(const Goals&) = delete;

  // The other way's cost is to be this many times the library's; `which` of several other ways
  // it was.  Without a ratio it was not measured.
  void AtLeast(absl::string_view what, absl::string_view whom, double wanted,
               std::optional<double> ratio, absl::string_view which = "") const {
    std::string measured = ratio ? Digits(*ratio) : "not measured";
    if (!which.empty()) measured += " (" + std::string(which) + ")";
    Row(what, whom, "≥ " + Digits(wanted), measured,
        !ratio             ? "-"
        : *ratio >= wanted ? "yes"
                           : "NO");
  }

 private:
  // Three digits after the point: 0.999 has missed 1, and is not shown as 1.00.
  static std::string Digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 10 ? "%.3f" : "%.1f", value);
    return text;
  }

  static std::string Padded(absl::string_view text, size_t width) {
    size_t characters = 0;
    for (const char c : text) characters += (c & 0xC0) != 0x80 ? 1 : 0;
    std::string padded(text);
    if (characters < width) padded.append(width - characters, ' ');
    return padded;
  }

  void Row(absl::string_view what, absl::string_view whom, absl::string_view wanted,
           absl::string_view measured, absl::string_view reached) const {
    if (out_ == nullptr) return;
    std::fprintf(out_, "| %s | %s | %s | %s | %s |\n", Padded(what, 56).c_str(),
                 Padded(whom, 26).c_str(), Padded(wanted, 7).c_str(), Padded(measured, 22).c_str(),
                 Padded(reached, 7).c_str());
    std::fflush(out_);
  }

  std::FILE* out_ = nullptr;
};

}  // namespace kevent::bench
