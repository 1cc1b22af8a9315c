// SPDX-License-Identifier: MIT

#include "core/descriptors/range_closes.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <optional>
#include <thread>

#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::RangeCloses;
using Call = std::optional<RangeCloses::Call>;

constexpr uint64_t kSecond = 1'000'000'000;

class RangeClosesTest : public testing::Test {
 protected:
  RangeClosesTest() {
    Sim().when_pausing = [this] {
      ++pauses_;
      if (meanwhile_) meanwhile_();
    };
  }
  ~RangeClosesTest() override {
    Sim().when_pausing = nullptr;
    RangeCloses::Forget();
  }

  static void BeginByAnotherThread(Call* call) {
    std::thread([call] { call->emplace(); }).join();
  }

  // One that never ends.
  static void Leave() {
    alignas(RangeCloses::Call) static std::array<std::byte, sizeof(RangeCloses::Call)> place;
    new (place.data()) RangeCloses::Call;
  }

  // How often a thread that takes a number has to wait.
  int PausesOfOneThatTakes() {
    pauses_ = 0;
    RangeCloses::BeginTaking();
    RangeCloses::EndTaking();
    return pauses_;
  }

  int pauses_ = 0;
  std::function<void()> meanwhile_;
};

TEST_F(RangeClosesTest, ACallOfAnotherThreadIsWaitedFor) {
  Call call;
  BeginByAnotherThread(&call);
  meanwhile_ = [&] {
    if (pauses_ == 3) call.reset();
  };
  EXPECT_EQ(PausesOfOneThatTakes(), 3);
  EXPECT_EQ(PausesOfOneThatTakes(), 0);
}

TEST_F(RangeClosesTest, OneOfTheSameThreadIsNot) {
  Leave();
  EXPECT_EQ(PausesOfOneThatTakes(), 0);
}

TEST_F(RangeClosesTest, OneThatWasLeftIsWaitedForOnce) {
  std::thread(&Leave).join();
  meanwhile_ = [] { Sim().Advance(kSecond); };
  EXPECT_GE(PausesOfOneThatTakes(), 5);
  EXPECT_EQ(PausesOfOneThatTakes(), 0);
}

TEST_F(RangeClosesTest, OneThatEndsWhenItIsForgottenEndsNoOther) {
  Call slow;
  BeginByAnotherThread(&slow);
  meanwhile_ = [] { Sim().Advance(kSecond); };
  EXPECT_GE(PausesOfOneThatTakes(), 5);
  std::array<Call, 32> others;
  for (Call& call : others) BeginByAnotherThread(&call);
  slow.reset();
  size_t ended = 0;
  meanwhile_ = [&] { others[ended++].reset(); };
  EXPECT_EQ(PausesOfOneThatTakes(), 32);
}

TEST_F(RangeClosesTest, MoreThanThereIsRoomForAreNotSeen) {
  std::array<Call, 40> calls;
  for (Call& call : calls) BeginByAnotherThread(&call);
  size_t ended = 0;
  meanwhile_ = [&] { calls[ended++].reset(); };
  EXPECT_EQ(PausesOfOneThatTakes(), 32);
}

TEST_F(RangeClosesTest, ACallWaitsForWhoTakesANumber) {
  RangeCloses::BeginTaking();
  meanwhile_ = [this] {
    if (pauses_ == 3) RangeCloses::EndTaking();
  };
  { const RangeCloses::Call call; }
  EXPECT_EQ(pauses_, 3);
}

}  // namespace
}  // namespace kevent_test
