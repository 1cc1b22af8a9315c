// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DUMP_H_
#define KEVENT_CORE_DUMP_H_

#include <cstddef>
#include <cstdint>

namespace kevent::core {

// A text of lines that goes to a descriptor as it grows.  Async-signal-safe: neither memory
// nor a locale is needed.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  LineWriter& operator<<(const char* text);
  LineWriter& operator<<(int64_t number);
  LineWriter& operator<<(uint64_t number);
  LineWriter& operator<<(int number) { return *this << int64_t{number}; }
  LineWriter& operator<<(uint32_t number) { return *this << uint64_t{number}; }

  // 0, or the negative errno of the first write that failed.
  int Finish();

 private:
  void Add(char character);
  void Flush();

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
