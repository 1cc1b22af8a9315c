// SPDX-License-Identifier: MIT
//
// A libFuzzer target: the bytes choose what happens to the engine (tests/unit/life.h).

#include <algorithm>
#include <cstdlib>

#include "tests/unit/life.h"

namespace {

// Small choices take a byte, larger ones as many as their limit has; when the
// bytes are used up it ends.
class Bytes final : public kevent_test::Choices {
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  {
    using Faults = kevent_test::Life::Faults;
    const Faults faults = bytes.Below(2) == 0 ? Faults::kNone : Faults::kSome;
    kevent_test::Life life(bytes, faults);
    while (!bytes.empty() && !testing::Test::HasFailure()) {
      life.Step();
      life.Check();
    }
  }
  if (testing::Test::HasFailure()) std::abort();
  return 0;
}
