// SPDX-License-Identifier: MIT
//
// A libFuzzer target: the bytes choose what happens to the engine (tests/unit/life.h).

#include <cstdlib>

#include "tests/fuzz/bytes.h"
#include "tests/unit/life.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kevent_test::Bytes bytes(data, size);
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
