// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_LINE_WRITER_H_
#define KEVENT_CORE_BASE_LINE_WRITER_H_

#include <cstddef>
#include <cstdint>

namespace kevent::core {

// A text of lines in memory that the caller gives; a line that does not fit is left out.
// Async-signal-safe: it needs no locale, and writes to no descriptor, where a slow reader could
// block it.
class LineWriter {
 public:
  LineWriter(char* text, size_t room) : text_(text), room_(room) {}
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  LineWriter& operator<<(const char* text);
  LineWriter& operator<<(int64_t number);
  LineWriter& operator<<(uint64_t number);
  LineWriter& operator<<(int number) { return *this << int64_t{number}; }
  LineWriter& operator<<(uint32_t number) { return *this << uint64_t{number}; }

  size_t size() const { return used_; }

 private:
  void Add(char character) {
    if (used_ < room_) text_[used_++] = character;
  }

  char* const text_;
  const size_t room_;
  size_t used_ = 0;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_LINE_WRITER_H_
