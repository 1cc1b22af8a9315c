// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DUMP_H_
#define KEVENT_CORE_DUMP_H_

#include <cstdint>
#include <cstring>

#include "core/system.h"

namespace kevent::core {

// A text of lines that goes to a descriptor as it grows.  Async-signal-safe: neither memory
// nor a locale is needed.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  LineWriter& operator<<(const char* text) {
    for (size_t left = std::strlen(text); left != 0; --left) Add(*text++);
    return *this;
  }
  LineWriter& operator<<(int64_t number) {
    if (number < 0) Add('-');
    return *this << (number < 0 ? 0 - static_cast<uint64_t>(number)
                                : static_cast<uint64_t>(number));
  }
  LineWriter& operator<<(uint64_t number) {
    if (number >= 10) *this << number / 10;
    Add(static_cast<char>('0' + number % 10));
    return *this;
  }
  LineWriter& operator<<(int number) { return *this << int64_t{number}; }
  LineWriter& operator<<(uint32_t number) { return *this << uint64_t{number}; }

  // 0, or the negative errno of the first write that failed.
  int Finish() {
    Flush();
    return error_;
  }

 private:
  void Add(char character) {
    buffer_[used_++] = character;
    if (used_ == sizeof buffer_) Flush();
  }
  void Flush() {
    for (size_t written = 0; written < used_ && error_ == 0;) {
      const int result = sys::Write(fd_, buffer_ + written, used_ - written);
      if (result < 0) error_ = result;
      if (result > 0) written += static_cast<size_t>(result);
    }
    used_ = 0;
  }

  const int fd_;
  int error_ = 0;
  size_t used_ = 0;
  char buffer_[512];
};

// Writes to `fd` what state a queue is in: 0 or a negative errno.  Waits for nothing: what
// only the queue's lock lets one read is left out if another thread holds it, or the caller
// does, in whose midst a handler or a debugger calls this.  Async-signal-safe.
int DumpQueue(int kev_fd, int fd);

}  // namespace kevent::core

#endif  // KEVENT_CORE_DUMP_H_
