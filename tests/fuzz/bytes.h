// SPDX-License-Identifier: MIT

#ifndef KEVENT_TESTS_FUZZ_BYTES_H_
#define KEVENT_TESTS_FUZZ_BYTES_H_

#include <cstddef>
#include <cstdint>

#include "tests/unit/choices.h"

namespace kevent_test {

// Small choices take a byte, larger ones as many as their limit has; when the
// bytes are used up it ends.
class Bytes final : public Choices {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  bool empty() const { return left_ == 0; }

  uint64_t Below(uint64_t limit) override {
    uint64_t value = 0;
    for (uint64_t reach = limit - 1; reach != 0 && left_ != 0; reach >>= 8) {
      value = value << 8 | *data_++;
      --left_;
    }
    return value % limit;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_FUZZ_BYTES_H_
