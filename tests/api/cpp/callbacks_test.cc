// SPDX-License-Identifier: MIT
//
// Callbacks: when an object may be destroyed, what destroying it waits for, and what becomes of
// the other events when a callback throws.

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <kevent/kevent.hpp>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;

// Counts its copies, as what a callback captures.
class Captured {
 public:
  explicit Captured(int& alive) : alive_(&alive) { ++*alive_; }
  Captured(const Captured& other) : alive_(other.alive_) { ++*alive_; }
  Captured& operator=(const Captured&) = delete;
  ~Captured() { --*alive_; }

 private:
  int* alive_;
};

// A callback that no slot has room for.
struct Large {
  void operator()() const {}
  Captured captured;
  std::array<char, 500> bytes;
};

TEST(Callbacks, AreDestroyedWithTheirObject) {
  kevent::Queue queue;
  int alive = 0;
  {
    const kevent::Timer timer(queue, [captured = Captured(alive)] {});
    EXPECT_EQ(alive, 1);
    const kevent::UserEvent event(queue, Large{Captured(alive), {}});
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Callbacks, AnObjectMayDestroyItself) {
  kevent::Queue queue;
  int alive = 0;
  int runs = 0;
  std::optional<kevent::UserEvent> event;
  event.emplace(queue, [&, captured = Captured(alive)] {
    event.reset();
    EXPECT_EQ(alive, 1) << "destroyed under itself";
    ++runs;
  });
  event->notify();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(alive, 0);
  // Its slot is used again, and takes no event of the old one.
  kevent::UserEvent next(queue, [&] { runs += 10; });
  EXPECT_EQ(queue.poll(), 0U);
  next.notify();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(runs, 11);
}

TEST(Callbacks, AnObjectMayReplaceItself) {
  kevent::Queue queue;
  std::string said;
  kevent::Timer timer;
  timer = kevent::Timer(queue, [&] {
    timer = kevent::Timer(queue, [&] { said += "second "; });
    timer.expires_after(0s);
    said += "first ";
  });
  timer.expires_after(0s);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(said, "first second ");
}

TEST(Callbacks, AnEventInTheBatchOfADestroyedObjectFindsNobody) {
  kevent::Queue queue;
  int runs = 0;
  std::array<std::optional<kevent::Timer>, 2> timers;
  for (std::size_t i = 0; i < 2; ++i) {
    timers[i].emplace(queue, [&, i] {
      ++runs;
      timers[1 - i].reset();
    });
    timers[i]->expires_after(0s);
  }
  std::array<ukevent, 4> room;
  const auto events = queue.collect(room, 2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(queue.dispatch(events), 1U);
  EXPECT_EQ(runs, 1);
}

// Neither does the event of another object that has the slot by then.
TEST(Callbacks, AnEventInTheBatchDoesNotFindTheNextObject) {
  kevent::Queue queue;
  std::optional<kevent::UserEvent> event;
  event.emplace(queue, [] { FAIL() << "destroyed before"; });
  event->notify();
  std::array<ukevent, 1> room;
  const auto events = queue.collect(room);
  ASSERT_EQ(events.size(), 1U);
  event.reset();
  const kevent::UserEvent next(queue, [] { FAIL() << "this one was not notified"; });
  EXPECT_EQ(queue.dispatch(events), 0U);
}

TEST(Callbacks, DestroyingWaitsForTheCallbackInAnotherThread) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> inside{false};
    std::atomic<bool> go_on{false};
    std::atomic<bool> over{false};
    std::optional<kevent::UserEvent> event;
    event.emplace(queue, [&] {
      inside = true;
      while (!go_on) std::this_thread::yield();
      over = true;
    });
    event->notify();
    kevent_test::Thread collector([&] { queue.run_once(); });
    while (!inside) std::this_thread::yield();
    kevent_test::Thread destroyer([&] {
      event.reset();
      EXPECT_TRUE(over);
    });
    if (round == 0) destroyer.AwaitAsleep();
    EXPECT_FALSE(over);
    go_on = true;
  }
}

TEST(Callbacks, AbandoningDoesNotWait) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  const auto captured = std::make_shared<int>();
  kevent::UserEvent event(queue, [&, captured] {
    inside = true;
    while (!go_on) std::this_thread::yield();
  });
  event.notify();
  {
    kevent_test::Thread collector([&] { queue.run_once(); });
    while (!inside) std::this_thread::yield();
    event.notify();  // merged, and dropped
    event.abandon();
    EXPECT_FALSE(event);
    EXPECT_EQ(captured.use_count(), 2);
    go_on = true;
  }
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(queue.poll(), 0U);
}

TEST(Callbacks, OfOneObjectNeverOverlap) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<int> inside{0};
  std::atomic<bool> go_on{false};
  std::atomic<int> runs{0};
  kevent::UserEvent event(queue, [&] {
    EXPECT_EQ(inside.fetch_add(1), 0);
    ++runs;
    while (!go_on) std::this_thread::yield();
    inside.fetch_sub(1);
  });
  event.notify();
  kevent_test::Thread collector([&] { EXPECT_EQ(queue.run_once(), 2U); });
  while (runs == 0) std::this_thread::yield();
  // They come here, and are run there, as one.
  for (int i = 0; i < 3; ++i) {
    event.notify();
    EXPECT_EQ(queue.run_once(), 0U);
  }
  go_on = true;
  collector.Join();
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(queue.poll(), 0U);
}

TEST(Callbacks, ExpirationsThatAreMergedAreCounted) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<uint64_t> expirations{0};
  std::atomic<bool> go_on{false};
  std::atomic<bool> inside{false};
  kevent::Timer timer(queue, [&](const kevent::Expiration& expiration) {
    expirations += 1 + expiration.overruns;
    inside = true;
    while (!go_on) std::this_thread::yield();
  });
  const auto begin = std::chrono::steady_clock::now();
  timer.expires_at(begin, 1ms);
  kevent_test::Thread collector([&] { queue.run_once(); });
  while (!inside) std::this_thread::yield();
  const uint64_t first = expirations;
  uint64_t merged = 0;
  std::array<ukevent, 1> room;
  for (int i = 0; i < 3; ++i) {
    const auto events = queue.collect(room);
    merged += 1 + kevent::Expiration(events[0]).overruns;
    EXPECT_EQ(queue.dispatch(events), 0U);
  }
  go_on = true;
  collector.Join();
  EXPECT_EQ(expirations, first + merged);
}

TEST(Callbacks, WhatWasMergedIsForgottenByANewSetting) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<int> runs{0};
  std::atomic<bool> go_on{false};
  kevent::Timer timer;
  timer = kevent::Timer(queue, [&] {
    ++runs;
    while (!go_on) std::this_thread::yield();
    timer.expires_after(1h);
  });
  timer.expires_after(0s, 1us);
  kevent_test::Thread collector([&] { EXPECT_EQ(queue.run_once(), 1U); });
  while (runs == 0) std::this_thread::yield();
  EXPECT_EQ(queue.run_once(), 0U);  // merged
  go_on = true;
  collector.Join();
  EXPECT_EQ(runs, 1);
}

// A timer that has expired, and whose callback stays inside, in a thread that runs it twice, until
// it is let go.
struct HeldTimer {
  kevent::Queue queue;
  std::vector<std::uint32_t> overruns;
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  kevent::Timer timer{queue, [this](const kevent::Expiration& expiration) {
                        overruns.push_back(expiration.overruns);
                        inside = true;
                        while (!go_on) std::this_thread::yield();
                      }};
  std::optional<kevent_test::Thread> collector;

  HeldTimer() {
    timer.expires_after(0s);
    collector.emplace([this] { EXPECT_EQ(queue.run_once(), 2U); });
    while (!inside) std::this_thread::yield();
  }
  void LetGo() {
    go_on = true;
    collector->Join();
  }
};

// What waits for the callback when the object is set anew is no part of what comes then.
TEST(Callbacks, OnlyExpirationsOfOneSettingAreMerged) {
  const kevent_test::Watchdog watchdog;
  HeldTimer held;
  kevent::Queue& queue = held.queue;
  kevent::Timer& timer = held.timer;
  for (int i = 0; i < 3; ++i) {
    timer.expires_after(0s);
    EXPECT_EQ(queue.run_once(), 0U);
  }
  held.LetGo();
  EXPECT_EQ(held.overruns, (std::vector<std::uint32_t>{0, 0}));
}

// The old one comes last, from a batch that an exception has ended.
TEST(Callbacks, AnExpirationOfAnOldSettingTakesNoneOfTheNewOneWithIt) {
  const kevent_test::Watchdog watchdog;
  HeldTimer held;
  kevent::Queue& queue = held.queue;
  kevent::Timer& timer = held.timer;
  kevent::UserEvent thrower(queue, [&] {
    timer.expires_after(0s);
    EXPECT_EQ(queue.run_once(), 0U);
    throw 1;
  });
  std::array<ukevent, 2> batch;
  thrower.notify();
  ASSERT_EQ(queue.collect(std::span(batch).first(1)).size(), 1U);
  timer.expires_after(0s);
  ASSERT_EQ(queue.collect(std::span(batch).last(1)).size(), 1U);
  EXPECT_THROW(queue.dispatch(batch), int);
  held.LetGo();
  EXPECT_EQ(held.overruns, (std::vector<std::uint32_t>{0, 0}));
}

TEST(Callbacks, AnExceptionLosesNoOtherEvent) {
  kevent::Queue queue;
  std::string said;
  std::vector<kevent::Timer> timers;
  timers.reserve(6);
  for (int i = 0; i < 6; ++i) {
    timers.emplace_back(queue, [&said, i] {
      said += std::to_string(i);
      if (i == 1 || i == 4) throw std::runtime_error(std::to_string(i));
    });
  }
  for (kevent::Timer& timer : timers) timer.expires_after(0s);
  for (const char* const thrown : {"1", "4"}) {
    try {
      queue.run_for(1h);
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), thrown);
    }
  }
  EXPECT_EQ(queue.poll(), 1U);
  EXPECT_EQ(said, "012345");
  EXPECT_EQ(queue.poll(), 0U);
}

TEST(Callbacks, WhatAnExceptionHasLeftIsItsObjectsAndAnyThreads) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::string said;
  kevent::UserEvent thrower(queue, [] { throw 1; });
  std::optional<kevent::UserEvent> destroyed;
  destroyed.emplace(queue, [&] { said += "destroyed "; });
  kevent::Timer renewed(queue, [&] { said += "renewed "; });
  kevent::UserEvent left(queue, [&] { said += "left "; });
  renewed.expires_after(0s);
  std::array<ukevent, 8> room;
  std::span<ukevent> events = queue.collect(room);
  std::array<ukevent, 8> batch;
  thrower.notify();
  destroyed->notify();
  left.notify();
  const std::span<ukevent> others = queue.collect(std::span(batch).first(7), 3);
  ASSERT_EQ(others.size(), 3U);
  batch[3] = events[0];
  EXPECT_THROW(queue.dispatch(std::span(batch).first(4)), int);
  destroyed.reset();
  renewed.expires_after(1h);
  // After what was left comes what has come since.
  left.notify();
  EXPECT_EQ(queue.run_once(), 2U);
  EXPECT_EQ(said, "left left ");
  EXPECT_EQ(queue.poll(), 0U);
}

TEST(Callbacks, WhatAnExceptionHasLeftGoesWithItsObjectAndItsQueue) {
  int alive = 0;
  std::optional<kevent::UserEvent> second;
  {
    kevent::Queue queue;
    kevent::UserEvent thrower(queue, [] { throw 1; });
    std::optional<kevent::UserEvent> first(std::in_place, queue, [captured = Captured(alive)] {});
    second.emplace(queue, [captured = Captured(alive)] {});
    thrower.notify();
    first->notify();
    second->notify();
    EXPECT_THROW(queue.run_once(), int);
    EXPECT_EQ(alive, 2);
    first.reset();
    EXPECT_EQ(alive, 1);
  }
  second.reset();
  EXPECT_EQ(alive, 0);
}

TEST(Callbacks, WhatAnExceptionHasLeftWakesAThreadThatSleeps) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<int> runs{0};
  kevent::UserEvent thrower(queue, [] { throw 1; });
  kevent::UserEvent other(queue, [&] {
    ++runs;
    queue.stop();
  });
  thrower.notify();
  other.notify();
  std::array<ukevent, 2> room;
  const auto events = queue.collect(room, 2);
  kevent_test::Thread sleeper([&] { queue.run(); });
  sleeper.AwaitAsleep();
  EXPECT_THROW(queue.dispatch(events), int);
  sleeper.Join();
  EXPECT_EQ(runs, 1);
}

// Of several that throw, each leaves the rest to the next thread.
TEST(Callbacks, EachExceptionWakesAThreadThatSleeps) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<int> runs{0};
  kevent::UserEvent one(queue, [] { throw 1; });
  kevent::UserEvent two(queue, [] { throw 2; });
  kevent::UserEvent three(queue, [&] {
    ++runs;
    queue.stop();
  });
  for (const kevent::UserEvent* event : {&one, &two, &three}) event->notify();
  std::array<ukevent, 3> room;
  const auto events = queue.collect(room, 3);
  const auto run = [&] {
    try {
      queue.run();
    } catch (int thrown) {
      EXPECT_EQ(thrown, 2);
    }
  };
  kevent_test::Thread first(run);
  kevent_test::Thread second(run);
  first.AwaitAsleep();
  second.AwaitAsleep();
  EXPECT_THROW(queue.dispatch(events), int);
  first.Join();
  second.Join();
  EXPECT_EQ(runs, 1);
}

TEST(Callbacks, AnExceptionLeavesItsObjectReady) {
  kevent::Queue queue;
  int runs = 0;
  kevent::UserEvent event(queue, [&] {
    if (++runs == 1) throw 1;
  });
  event.notify();
  EXPECT_THROW(queue.run_once(), int);
  event.notify();
  EXPECT_EQ(queue.run_once() + queue.poll(), 1U);
  EXPECT_EQ(runs, 2);
}

// Another thread destroys the object meanwhile, or assigns to it: it waits, and what the callback
// does to the object until it returns is no error.
TEST(Callbacks, SetTheirOwnObjects) {
  kevent::Queue queue;
  std::atomic<int> calls{0};
  std::atomic<int> errors{0};
  std::vector<std::unique_ptr<kevent_test::Thread>> runners(3);
  for (auto& runner : runners) {
    runner = std::make_unique<kevent_test::Thread>([&] {
      while (!queue.stopped()) {
        try {
          queue.run();
        } catch (const std::exception&) {
          ++errors;
        }
      }
    });
  }
  constexpr int kObjects = 2000;
  std::array<int, 2> ends;
  ASSERT_EQ(pipe(ends.data()), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  for (int i = 0; i < kObjects; ++i) {
    kevent::Timer timer(queue, [&] {
      ++calls;
      timer.expires_after(1us);
    });
    kevent::DescriptorWatch watch(
        queue, ends[0], kevent::Interest::kRead,
        [&] {
          ++calls;
          watch.modify(kevent::Interest::kRead);
        },
        kevent::Trigger::kOnce);
    timer.expires_after(0us);
    const int before = calls;
    while (calls < before + i % 4) std::this_thread::yield();
    if (i % 2 != 0) timer = kevent::Timer();
    if (i % 3 != 0) watch = kevent::DescriptorWatch();
  }
  queue.stop();
  runners.clear();
  EXPECT_EQ(errors, 0);
  EXPECT_GT(calls, kObjects);
  for (const int end : ends) close(end);
}

TEST(Callbacks, MayRunTheQueue) {
  kevent::Queue queue;
  std::string said;
  kevent::UserEvent inner(queue, [&] { said += "inner "; });
  kevent::UserEvent outer(queue, [&] {
    inner.notify();
    EXPECT_EQ(queue.run_once(), 1U);
    said += "outer ";
  });
  outer.notify();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(said, "inner outer ");
}

TEST(Callbacks, TakeManySlots) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::size_t sum = 0;
  std::vector<kevent::Timer> timers;
  constexpr std::size_t kTimers = 5000;
  for (std::size_t i = 0; i < kTimers; ++i) timers.emplace_back(queue, [&sum, i] { sum += i; });
  for (kevent::Timer& timer : timers) timer.expires_after(0s);
  std::size_t runs = 0;
  while (runs < kTimers) runs += queue.run_once();
  EXPECT_EQ(sum, kTimers * (kTimers - 1) / 2);
}

}  // namespace
