// SPDX-License-Identifier: MIT
//
// A libFuzzer target: the bytes choose what becomes of transfers on sockets
// (tests/unit/transfer_life.h).

#include <cstdlib>

#include "tests/fuzz/bytes.h"
#include "tests/unit/transfer_life.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool has_begun = (kevent_test::TransferLife::BeginProcess(), true);
  (void)has_begun;
  kevent_test::Bytes bytes(data, size);
  {
    kevent_test::TransferLife life(bytes);
    while (!bytes.empty() && !testing::Test::HasFailure()) life.Step();
    life.End();
  }
  if (testing::Test::HasFailure()) std::abort();
  return 0;
}
