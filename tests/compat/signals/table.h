// SPDX-License-Identifier: MIT
//
// The table that a person reads.

#ifndef KEVENT_TESTS_COMPAT_SIGNALS_TABLE_H_
#define KEVENT_TESTS_COMPAT_SIGNALS_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace conformance {

// Columns of fixed width whose cells wrap at spaces.
class Table {
 public:
  explicit Table(std::vector<size_t> widths) : widths_(std::move(widths)) {}

  void PrintRow(const std::vector<std::string>& cells) const;
  void PrintRule() const;

 private:
  const std::vector<size_t> widths_;
};

}  // namespace conformance

#endif  // KEVENT_TESTS_COMPAT_SIGNALS_TABLE_H_
