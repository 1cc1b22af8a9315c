// SPDX-License-Identifier: MIT
//
// A libFuzzer target: the bytes choose what happens to the kevents of a queue
// (tests/unit/kevent_life.h).

#include <cstdlib>

#include "tests/fuzz/bytes.h"
#include "tests/unit/kevent_life.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kevent_test::Bytes bytes(data, size);
  {
    kevent_test::KeventLife life(bytes);
    while (!bytes.empty() && !testing::Test::HasFailure()) life.Step();
    life.CollectAll();
  }
  if (testing::Test::HasFailure()) std::abort();
  return 0;
}
