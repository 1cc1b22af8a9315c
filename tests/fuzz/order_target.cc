// SPDX-License-Identifier: MIT
//
// A libFuzzer target: the bytes choose which operations are asked for and which
// end (tests/unit/order_life.h).

#include <cstdlib>

#include "tests/fuzz/bytes.h"
#include "tests/unit/order_life.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kevent_test::Bytes bytes(data, size);
  {
    kevent_test::OrderLife life(bytes);
    while (!bytes.empty() && !testing::Test::HasFailure()) life.Step();
    life.End();
  }
  if (testing::Test::HasFailure()) std::abort();
  return 0;
}
