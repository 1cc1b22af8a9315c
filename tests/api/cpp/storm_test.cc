// SPDX-License-Identifier: MIT
//
// Several threads run a queue, while others make objects, set them and destroy them, objects
// destroy themselves, and callbacks throw.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <kevent/kevent.hpp>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

// What holds of each object: its callback is not run by two threads, nor after its end.
class Object {
 public:
  ~Object() {
    // First, as it waits for the callback.
    timer = {};
    event = {};
    alive_ = false;
    EXPECT_FALSE(inside_);
  }
  void Run() {
    EXPECT_TRUE(alive_);
    EXPECT_FALSE(inside_.exchange(true));
    ++runs;
    inside_ = false;
  }

  kevent::Timer timer;
  kevent::UserEvent event;
  int runs = 0;

 private:
  std::atomic<bool> alive_{true};
  std::atomic<bool> inside_{false};
};

class Storm : public testing::Test {
 protected:
  static constexpr int kRounds = 200;
  static constexpr int kObjects = 20;

  void MakeAndDestroy(unsigned seed) {
    std::minstd_rand random(seed);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<std::unique_ptr<Object>> objects;
      objects.reserve(size_t{2} * kObjects);
      for (int i = 0; i < kObjects; ++i) objects.push_back(MakeTimer(random));
      for (int i = 0; i < kObjects; ++i) objects.push_back(MakeEvent(random));
      for (int i = 0; i < kObjects; ++i) DestroysItself(random);
      for (const auto& object : objects) {
        if (object->timer && random() % 2 == 0) object->timer.expires_after(1us, 1us);
        if (object->event) object->event.notify();
      }
      if (random() % 2 == 0) std::this_thread::yield();
    }
  }

  // Three threads run the queue meanwhile, and go on when a callback has thrown.
  void RunMeanwhile(const std::function<void()>& body) {
    const auto run = [this] {
      while (!queue_.stopped()) {
        try {
          queue_.run();
        } catch (int) {
          ++thrown_;
        }
      }
    };
    kevent_test::Thread one(run);
    kevent_test::Thread two(run);
    kevent_test::Thread three(run);
    body();
    while (itself_ > 0) std::this_thread::yield();
    queue_.stop();
  }

  kevent::Queue queue_;
  std::atomic<int> thrown_{0};
  std::atomic<int> itself_{0};  // objects that are to destroy themselves

 private:
  std::unique_ptr<Object> MakeTimer(std::minstd_rand& random) {
    auto object = std::make_unique<Object>();
    const bool throws = random() % 8 == 0;
    object->timer = kevent::Timer(queue_, [throws, object = object.get()] {
      object->Run();
      if (throws) throw object->runs;
    });
    object->timer.expires_after(microseconds(random() % 100), microseconds(random() % 100));
    return object;
  }

  std::unique_ptr<Object> MakeEvent(std::minstd_rand& random) {
    auto object = std::make_unique<Object>();
    const bool throws = random() % 8 == 0;
    object->event = kevent::UserEvent(queue_, [throws, object = object.get()] {
      object->Run();
      if (throws) throw object->runs;
    });
    object->event.notify();
    return object;
  }

  void DestroysItself(std::minstd_rand& random) {
    ++itself_;
    Object* const object = std::make_unique<Object>().release();
    const int times = 1 + static_cast<int>(random() % 3);
    object->timer = kevent::Timer(queue_, [this, times, object] {
      object->Run();
      if (object->runs < times) return;
      delete object;
      --itself_;
    });
    object->timer.expires_after(microseconds(random() % 100), 1us);
  }
};

TEST_F(Storm, OfObjects) {
  const kevent_test::Watchdog watchdog;
  RunMeanwhile([this] {
    kevent_test::Thread one([this] { MakeAndDestroy(1); });
    kevent_test::Thread other([this] { MakeAndDestroy(2); });
  });
  EXPECT_EQ(itself_, 0);
  EXPECT_GT(thrown_, 0);
}

// Two threads hand the same event over again and again, so that most runs are of merged ones, until
// the callback destroys its object.
TEST_F(Storm, OfEventsOfOneObject) {
  const kevent_test::Watchdog watchdog;
  constexpr int kTimes = 2000;
  std::optional<kevent::UserEvent> object;
  int runs = 0;
  ukevent event = {};
  std::atomic<bool> gone{false};
  // A barrier asks for it; what is thrown ends the test.
  const auto prepare = [&]() noexcept {  // NOLINT(bugprone-exception-escape)
    runs = 0;
    gone = false;
    object.emplace(queue_, [&] {
      if (++runs < 20) return;
      object.reset();
      gone = true;
    });
    object->notify();
    event = queue_.collect(std::span(&event, 1))[0];
  };
  prepare();
  std::barrier next(2, prepare);
  const auto hand_over = [&] {
    for (int i = 0; i < kTimes; ++i) {
      while (!gone) queue_.dispatch(std::span<const ukevent>(&event, 1));
      next.arrive_and_wait();
    }
  };
  kevent_test::Thread one(hand_over);
  kevent_test::Thread other(hand_over);
}

// No event of an object that lives is lost, though others throw.
TEST_F(Storm, LosesNoEvent) {
  const kevent_test::Watchdog watchdog;
  std::atomic<int> runs{0};
  std::array<std::unique_ptr<kevent::Timer>, 50> timers;
  for (std::size_t i = 0; i < timers.size(); ++i) {
    timers[i] = std::make_unique<kevent::Timer>(queue_, [&runs, &timer = timers[i], i] {
      if (++runs < 20'000) timer->expires_after(microseconds(i));
      if (i % 5 == 0) throw 1;
    });
  }
  RunMeanwhile([&] {
    for (const auto& timer : timers) timer->expires_after(0s);
    while (runs < 20'000) std::this_thread::yield();
  });
  EXPECT_GE(runs, 20'000);
}

}  // namespace
