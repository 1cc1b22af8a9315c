// SPDX-License-Identifier: MIT
//
// Lifetime against an obvious model, sets of pins and names; and by threads that pin and unpin a
// queue which is closed and opened again under them.

#include "core/queue/lifetime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace kevent_test {
namespace {

using kevent::core::Lifetime;

struct Model {
  bool open = false;
  unsigned pins = 0;
  unsigned names = 0;
  bool internals_open = false;
  unsigned incarnation = 0;

  bool unused() const { return !open && pins == 0 && !internals_open; }
};

class LifetimeLife {
 public:
  explicit LifetimeLife(uint64_t seed) : random_(seed) {}

  void Step() {
    switch (random_() % 8) {
      case 0:
        if (model_.unused()) Open();
        break;
      case 1:
      case 2:
        EXPECT_EQ(lifetime_.Pin(), model_.open);
        if (model_.open) ++model_.pins;
        break;
      case 3:
      case 4:
        if (model_.pins != 0) Unpin();
        break;
      case 5:
        EXPECT_EQ(lifetime_.AddFurtherName(), model_.names != 0);
        if (model_.names != 0) ++model_.names;
        break;
      default:
        if (model_.names != 0) DropName();
    }
    Compare();
  }

 private:
  void Open() {
    lifetime_.BeginOpening();
    model_.internals_open = true;
    Compare();
    if (random_() % 4 == 0) {  // one of them could not be made
      lifetime_.InternalsAreClosed();
      model_.internals_open = false;
      return;
    }
    lifetime_.FinishOpening();
    model_.open = true;
    ++model_.incarnation;
    Compare();
    lifetime_.AddName();
    model_.names = 1;
  }

  void Unpin() {
    const bool last = lifetime_.Unpin();
    --model_.pins;
    EXPECT_EQ(last, !model_.open && model_.pins == 0);
    Compare();
    if (!last) return;
    lifetime_.InternalsAreClosed();
    model_.internals_open = false;
  }

  void DropName() {
    const bool last = lifetime_.DropName();
    --model_.names;
    EXPECT_EQ(last, model_.names == 0);
    Compare();
    if (!last) return;
    EXPECT_EQ(lifetime_.Close(), model_.pins != 0);
    model_.open = false;
    ++model_.pins;
    Compare();
    Unpin();
  }

  void Compare() {
    ASSERT_EQ(lifetime_.Check(), nullptr) << lifetime_.Check();
    ASSERT_EQ(lifetime_.open(), model_.open);
    ASSERT_EQ(lifetime_.pins(), model_.pins);
    ASSERT_EQ(lifetime_.names(), model_.names);
    ASSERT_EQ(lifetime_.is_unused(), model_.unused());
    ASSERT_EQ(lifetime_.incarnation(), model_.incarnation);
  }

  std::mt19937_64 random_;
  Lifetime lifetime_{};
  Model model_;
};

TEST(Lifetime, IsWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    LifetimeLife life(seed);
    for (int i = 0; i < 500 && !testing::Test::HasFailure(); ++i) life.Step();
    if (testing::Test::HasFailure()) return;
  }
}

// Its internals stay open under each pin, and close once for each time that it was open.
TEST(Lifetime, OfManyThreadsOneClosesTheInternals) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 100;
  constexpr int kUses = 200;  // each time, by those threads
  Lifetime lifetime{};
  std::atomic<bool> internals_open = false;
  std::atomic<int> closed = 0;
  std::atomic<int> faults = 0;
  std::atomic<int> uses = 0;
  std::atomic<bool> end = false;
  const auto unpin = [&] {
    if (!lifetime.Unpin()) return;
    internals_open = false;
    ++closed;
    lifetime.InternalsAreClosed();
  };
  const auto use = [&] {
    if (!lifetime.Pin()) return false;
    if (!internals_open || lifetime.Check() != nullptr) ++faults;
    unpin();
    return true;
  };
  const auto drop_name = [&] {
    if (!lifetime.DropName()) return;
    (void)lifetime.Close();
    unpin();
  };
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, names = i % 2 == 0] {
      while (!end) {
        if (names && lifetime.AddFurtherName()) {
          if (lifetime.Check() != nullptr) ++faults;
          drop_name();
        }
        if (use()) {
          ++uses;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (int i = 0; i < kTimes; ++i) {
    while (!lifetime.is_unused()) std::this_thread::yield();
    internals_open = true;
    lifetime.BeginOpening();
    lifetime.FinishOpening();
    lifetime.AddName();
    for (const int before = uses; uses < before + kUses;) use();
    drop_name();
  }
  while (!lifetime.is_unused()) std::this_thread::yield();
  end = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(closed, kTimes);
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(lifetime.incarnation(), kTimes);
}

// Check() is what Debug builds and the fuzzers rely on: it must see each invariant broken.
TEST(Lifetime, ABrokenInvariantIsSeen) {
  {
    Lifetime lifetime{};
    EXPECT_FALSE(lifetime.Unpin());
    EXPECT_STREQ(lifetime.Check(), "it was unpinned more often than pinned");
  }
  {
    Lifetime lifetime{};
    EXPECT_FALSE(lifetime.DropName());
    EXPECT_STREQ(lifetime.Check(), "more names were dropped than added");
  }
  {
    Lifetime lifetime{};
    lifetime.AddName();
    EXPECT_STREQ(lifetime.Check(), "it is closed and has a name");
  }
  {
    Lifetime lifetime{};
    lifetime.BeginOpening();
    lifetime.FinishOpening();
    EXPECT_EQ(lifetime.Check(), nullptr);
    lifetime.InternalsAreClosed();
    EXPECT_STREQ(lifetime.Check(), "its internals are closed under a pin");
  }
}

}  // namespace
}  // namespace kevent_test
