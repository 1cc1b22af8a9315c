// SPDX-License-Identifier: MIT
//
// Threads that are cancelled (pthread_cancel) while they sleep on a queue, or end an operation.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <kevent/kevent.hpp>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

// Says that the thread's variables were destroyed.
class Unwound {
 public:
  explicit Unwound(bool& unwound) : unwound_(&unwound) {}
  ~Unwound() { *unwound_ = true; }
  Unwound(const Unwound&) = delete;
  Unwound& operator=(const Unwound&) = delete;

 private:
  bool* unwound_;
};

TEST(Cancellation, UnwindsAThreadThatSleeps) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  const std::vector<std::function<void()>> sleeps = {
      [&] { queue.run(); },
      [&] { queue.run_once(); },
      [&] {
        std::error_code error;
        queue.run(error);
      },
      [&] {
        std::array<ukevent, 1> room;
        queue.collect(room);
      },
      [&] {
        std::array<ukevent, 1> room;
        std::error_code error;
        queue.collect_for(room, std::chrono::hours(1), error);
      },
  };
  for (const auto& sleep : sleeps) {
    bool unwound = false;
    kevent_test::Thread thread([&] {
      const Unwound guard(unwound);
      sleep();
    });
    thread.AwaitAsleep();
    thread.Cancel();
    EXPECT_TRUE(thread.Join());
    EXPECT_TRUE(unwound);
  }
  // The queue goes on.
  int runs = 0;
  kevent::UserEvent event(queue, [&] { ++runs; });
  event.notify();
  EXPECT_EQ(queue.run_once(), 1U);
}

// A cancellation waits until the destructors are done.  Whether the operation has begun by then,
// so that its destructor sleeps, is another matter in each round.
TEST(Cancellation, EndsNoDestructor) {
  const kevent_test::Watchdog watchdog;
  for (int round = 0; round < 30; ++round) {
    std::array<int, 2> ends = {};
    ASSERT_EQ(pipe(ends.data()), 0);
    std::atomic<bool> cancelled{false};
    bool destroyed = false;
    kevent_test::Thread thread([&] {
      std::array<std::byte, 1> buffer;
      std::optional<kevent::Queue> queue(std::in_place);
      std::optional<kevent::Operation> read(
          kevent::Operation::read(*queue, ends[0], buffer, 0, [] {}));
      for (int i = 0; i < 4 * round; ++i) std::this_thread::yield();
      pthread_cancel(pthread_self());
      cancelled = true;
      read.reset();
      queue.reset();
      destroyed = true;
      pthread_testcancel();
    });
    while (!cancelled) std::this_thread::yield();
    for (int i = 0; i < 4 * round; ++i) std::this_thread::yield();
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_TRUE(thread.Join());
    EXPECT_TRUE(destroyed);
    close(ends[0]);
    close(ends[1]);
  }
}

}  // namespace
