// SPDX-License-Identifier: MIT

#include "core/base/line_writer.h"

#include <cstring>

namespace kevent::core {

LineWriter& LineWriter::operator<<(const char* text) {
  for (size_t left = std::strlen(text); left != 0; --left) Add(*text++);
  return *this;
}

LineWriter& LineWriter::operator<<(int64_t number) {
  if (number >= 0) return *this << static_cast<uint64_t>(number);
  Add('-');
  return *this << 0 - static_cast<uint64_t>(number);
}

LineWriter& LineWriter::operator<<(uint64_t number) {
  if (number >= 10) *this << number / 10;
  Add(static_cast<char>('0' + number % 10));
  return *this;
}

}  // namespace kevent::core
