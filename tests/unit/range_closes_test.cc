// SPDX-License-Identifier: MIT

#include "core/descriptors/range_closes.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
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

  std::atomic<int> pauses_{0};
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

// A thread in a call, until it is to end it.
class Caller {
 public:
  Caller()
      : thread_([this] {
          const RangeCloses::Call call;
          began_ = true;
          while (!over_) std::this_thread::yield();
        }) {
    while (!began_) std::this_thread::yield();
  }
  ~Caller() {
    End();
    thread_.join();
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  void End() { over_ = true; }

 private:
  std::atomic<bool> began_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// One that comes while a thread waits stands back until that one has its number.
TEST_F(RangeClosesTest, WhoWaitsIsNotPassedByACallThatComesLater) {
  const std::thread::id taker = std::this_thread::get_id();
  std::atomic<bool> began{false};
  std::atomic<bool> stands_back{false};
  std::thread later;
  Caller before;
  meanwhile_ = [&] {
    if (std::this_thread::get_id() != taker) {
      stands_back = true;
      std::this_thread::yield();
      return;
    }
    if (!later.joinable()) {
      later = std::thread([&] {
        const RangeCloses::Call call;
        began = true;
      });
    }
    while (!began && !stands_back) std::this_thread::yield();
    before.End();
  };
  RangeCloses::BeginTaking();
  EXPECT_FALSE(began);
  RangeCloses::EndTaking();
  later.join();
  EXPECT_TRUE(began);
}

TEST_F(RangeClosesTest, ACallStandsBackForASecond) {
  const std::thread::id taker = std::this_thread::get_id();
  std::atomic<bool> began{false};
  std::atomic<int> stood_back{0};
  std::thread later;
  Caller before;
  meanwhile_ = [&] {
    if (std::this_thread::get_id() != taker) {
      ++stood_back;
      Sim().Advance(kSecond);
      return;
    }
    if (!later.joinable()) {
      later = std::thread([&] {
        const RangeCloses::Call call;
        began = true;
      });
      while (!began) std::this_thread::yield();
    }
    before.End();
  };
  RangeCloses::BeginTaking();
  RangeCloses::EndTaking();
  later.join();
  EXPECT_EQ(stood_back, 1);
}

// Threads that take numbers again and again keep no call back: it has its turn before those that
// come later.
TEST_F(RangeClosesTest, ACallStandsBackForNoWaitThatBeginsLater) {
  thread_local bool is_call = false;
  std::atomic<int> waiting{0};
  thread_local bool counted = false;
  std::atomic<int> stood_back{0};
  std::atomic<int> looks{0};
  std::atomic<bool> first_waits_over{false};
  meanwhile_ = [&] {
    if (is_call) {
      ++stood_back;
      if (first_waits_over) ++looks;
    } else if (!counted) {
      counted = true;
      ++waiting;
    }
    std::this_thread::yield();
  };
  const auto await = [](const auto& condition) {
    while (!condition()) std::this_thread::yield();
  };
  Caller of_another;
  std::atomic<bool> of_first_over{false};
  std::thread first([&] {
    const RangeCloses::Call own;  // for which the second thread waits, and this one does not
    RangeCloses::BeginTaking();
    first_waits_over = true;
    RangeCloses::EndTaking();
    while (!of_first_over) std::this_thread::yield();
  });
  await([&] { return waiting == 1; });
  std::atomic<bool> began{false};
  std::thread call([&] {
    is_call = true;
    const RangeCloses::Call late;
    began = true;
  });
  await([&] { return stood_back > 0; });
  std::thread second([] {
    RangeCloses::BeginTaking();
    RangeCloses::EndTaking();
  });
  await([&] { return waiting == 2; });
  of_another.End();
  constexpr int kMany = 100'000;
  await([&] { return began || looks > kMany; });
  EXPECT_TRUE(began);
  of_first_over = true;
  first.join();
  call.join();
  second.join();
}

// A handler may have interrupted the one that is waited for, or a child of vfork calls.
TEST_F(RangeClosesTest, ASecondCallOfAThreadDoesNotStandBack) {
  const std::thread::id taker = std::this_thread::get_id();
  std::atomic<bool> began{false};
  std::atomic<bool> waited_for{false};
  std::atomic<int> stood_back{0};
  meanwhile_ = [&] {
    if (std::this_thread::get_id() == taker) {
      waited_for = true;
      std::this_thread::yield();
    } else {
      ++stood_back;
      Sim().Advance(kSecond);
    }
  };
  std::thread caller([&] {
    Call call;
    call.emplace();
    began = true;
    while (!waited_for) std::this_thread::yield();
    { const RangeCloses::Call of_a_handler; }
    call.reset();
  });
  while (!began) std::this_thread::yield();
  RangeCloses::BeginTaking();
  RangeCloses::EndTaking();
  caller.join();
  EXPECT_EQ(stood_back, 0);
}

TEST_F(RangeClosesTest, ManyThatWereLeftAreWaitedForNoLongerThanOne) {
  for (int i = 0; i < 20; ++i) std::thread(&Leave).join();
  meanwhile_ = [] { Sim().Advance(kSecond); };
  EXPECT_LE(PausesOfOneThatTakes(), 12);
  EXPECT_EQ(PausesOfOneThatTakes(), 0);
}

}  // namespace
}  // namespace kevent_test
