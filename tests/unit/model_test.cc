// SPDX-License-Identifier: MIT
//
// The engine against the model under random operations on simulated time.
//
// KEVENT_TEST_SEED and KEVENT_TEST_RUNS in the environment choose other runs;
// a failure names its seed.

#include "tests/unit/life.h"

namespace kevent_test {
namespace {

void AgreesWithTheModel(Life::Faults faults, uint64_t runs) {
  const uint64_t first = FromEnvironment("KEVENT_TEST_SEED", 1);
  runs = FromEnvironment("KEVENT_TEST_RUNS", runs);
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    RandomChoices choices(seed);
    Life life(choices, faults);
    for (int step = 0; step < 2000; ++step) {
      life.Step();
      life.Check();
      if (testing::Test::HasFatalFailure())
        FAIL() << "KEVENT_TEST_SEED=" << seed << ", step " << step;
    }
  }
}

TEST(RandomLife, AgreesWithTheModel) { AgreesWithTheModel(Life::Faults::kNone, 1500); }

// What fails changes nothing, and what cannot fail does not.
TEST(RandomLife, WithFaultsAgreesWithTheModel) { AgreesWithTheModel(Life::Faults::kSome, 700); }

}  // namespace
}  // namespace kevent_test
