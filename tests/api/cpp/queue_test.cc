// SPDX-License-Identifier: MIT
//
// kevent::Queue: collecting into a span, running, stopping, and both forms of errors.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <kevent/kevent.hpp>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using std::chrono::system_clock;

static_assert(!std::is_copy_constructible_v<kevent::Queue>);
static_assert(std::is_nothrow_move_constructible_v<kevent::Queue>);
static_assert(std::is_nothrow_move_assignable_v<kevent::Queue>);

TEST(Queue, CollectsIntoPartOfASpan) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 3> cookies = {};
  std::vector<kevent::CookieTimer> timers;
  for (int& cookie : cookies) {
    timers.emplace_back(queue, &cookie);
    timers.back().expires_after(0s);
  }
  std::array<ukevent, 8> room;
  const std::span<ukevent> events = queue.collect(room, 3);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events.data(), room.data());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(events[i].ptr, &cookies[i]);
  EXPECT_EQ(kevent::Expiration(events[0]).overruns, 0U);
  std::error_code error = std::make_error_code(std::errc::io_error);
  EXPECT_TRUE(queue.collect(room, 0, error).empty());
  EXPECT_FALSE(error);
}

TEST(Queue, TimesOutWithoutAnErrorAndNotEarly) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<ukevent, 1> room;
  std::error_code error;
  auto begin = steady_clock::now();
  EXPECT_TRUE(queue.collect_for(room, 3ms).empty());
  EXPECT_GE(steady_clock::now() - begin, 3ms);
  begin = steady_clock::now();
  EXPECT_TRUE(queue.collect_for(room, 3ms, 1, error).empty());
  EXPECT_FALSE(error);
  EXPECT_GE(steady_clock::now() - begin, 3ms);
  auto deadline = steady_clock::now() + 3ms;
  EXPECT_TRUE(queue.collect_until(room, deadline).empty());
  EXPECT_GE(steady_clock::now(), deadline);
  const auto date = system_clock::now() + 3ms;
  EXPECT_TRUE(queue.collect_until(room, date, 1, error).empty());
  EXPECT_GE(system_clock::now(), date);
  EXPECT_FALSE(error);
  EXPECT_TRUE(queue.collect_for(room, -1h).empty());
  EXPECT_TRUE(queue.collect_for(room, 0s, error).empty());
  EXPECT_TRUE(queue.collect_until(room, steady_clock::now(), error).empty());
  queue.wake();
  EXPECT_TRUE(queue.collect(room, error).empty());
  EXPECT_FALSE(error);
  EXPECT_EQ(queue.run_for(3ms), 0U);
  deadline = steady_clock::now() + 3ms;
  EXPECT_EQ(queue.run_until(deadline, error), 0U);
  EXPECT_FALSE(error);
  EXPECT_GE(steady_clock::now(), deadline);
}

TEST(Queue, WaitsForTheLongestTimesThatThereAre) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<ukevent, 1> room;
  queue.wake();
  EXPECT_TRUE(queue.collect_for(room, std::chrono::hours::max()).empty());
  queue.wake();
  EXPECT_TRUE(queue.collect_until(room, steady_clock::time_point::max()).empty());
  queue.wake();
  EXPECT_TRUE(queue.collect_until(room, system_clock::time_point::max()).empty());
  kevent::Timer timer(queue, [&] { queue.stop(); });
  timer.expires_after(1ms);
  EXPECT_EQ(queue.run_for(std::chrono::hours::max()), 1U);
}

TEST(Queue, ThrowsOrSetsWhatTheCallSays) {
  kevent::Queue queue;
  std::array<ukevent, 1> room;
  std::error_code error;
  EXPECT_TRUE(queue.collect(room, 2, error).empty());
  EXPECT_EQ(error, std::errc::invalid_argument);
  EXPECT_EQ(error.category(), std::system_category());
  try {
    queue.collect(room, 2);
    FAIL() << "no exception";
  } catch (const std::system_error& thrown) {
    EXPECT_EQ(thrown.code(), error);
    EXPECT_NE(std::string(thrown.what()).find("kevent_get_events"), std::string::npos);
  }
  EXPECT_TRUE(queue.collect(room, 0, error).empty());
  EXPECT_FALSE(error);
}

TEST(Queue, IsEmptyWhereItCannotBeMade) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::error_code error;
  const kevent::Queue queue(error);
  std::optional<std::error_code> thrown;
  try {
    const kevent::Queue other;
  } catch (const std::system_error& exception) {
    thrown = exception.code();
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(error, std::errc::too_many_files_open);
  EXPECT_FALSE(queue);
  EXPECT_EQ(queue.fd(), -1);
  EXPECT_EQ(thrown, error);
}

TEST(Queue, MovesWithItsDescriptor) {
  kevent::Queue queue;
  const int fd = queue.fd();
  kevent::Queue other(std::move(queue));
  EXPECT_EQ(other.fd(), fd);
  EXPECT_FALSE(queue);  // NOLINT(bugprone-use-after-move): it is empty
  int runs = 0;
  kevent::Timer timer(other, [&] { ++runs; });
  kevent::Queue third;
  third = std::move(other);
  timer.expires_after(0s);
  EXPECT_EQ(third.run_once(), 1U);
  EXPECT_EQ(runs, 1);
  timer.expires_after(0s);
  pollfd readable = {.fd = third.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&readable, 1, -1), 1);
}

kevent::Task<> AwaitOnce(kevent::Queue& queue, std::error_code& error) {
  co_await queue.after(std::chrono::seconds(0), error);
}

// One that could not be made, or was moved from.
TEST(Queue, AnEmptyOneIsABadDescriptor) {
  kevent::Queue queue;
  const kevent::Queue moved(std::move(queue));
  // NOLINTBEGIN(bugprone-use-after-move)
  std::error_code error;
  std::array<ukevent, 1> room;
  EXPECT_TRUE(queue.collect(room, 1, error).empty());
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  EXPECT_EQ(queue.run(error), 0U);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  EXPECT_EQ(queue.poll(error), 0U);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  const kevent::Timer timer(
      queue, [] {}, error);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  const kevent::CookieTimer plain(queue, nullptr, error);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  EXPECT_THROW(kevent::UserEvent(queue, nullptr), std::system_error);
  EXPECT_THROW(kevent::UserEvent(queue, [] {}), std::system_error);
  error.clear();
  const kevent::Task<> task = AwaitOnce(queue, error);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  queue.stop();
  queue.wake();
  queue.restart();
  EXPECT_TRUE(queue.stopped());
  EXPECT_EQ(queue.dispatch({}), 0U);
  // NOLINTEND(bugprone-use-after-move)
}

TEST(Queue, ClosesItsDescriptor) {
  int fd = -1;
  {
    const kevent::Queue queue;
    fd = queue.fd();
    EXPECT_NE(fcntl(fd, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(Queue, ASignalHandlerIsNoError) {
  const kevent_test::Watchdog watchdog;
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  kevent::Queue queue;
  std::atomic<bool> returned{false};
  kevent_test::Thread thread([&] {
    std::array<ukevent, 1> room;
    EXPECT_TRUE(queue.collect(room).empty());
    std::error_code error;
    EXPECT_EQ(queue.run_once(error), 0U);
    EXPECT_FALSE(error);
    returned = true;
  });
  while (!returned) {
    thread.AwaitAsleep();
    if (!thread.finished()) thread.Kill(SIGUSR1);
  }
}

TEST(Queue, StopEndsEachThreadThatRuns) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> running{0};
    {
      const auto run = [&] {
        ++running;
        queue.run();
        --running;
      };
      kevent_test::Thread one(run);
      kevent_test::Thread two(run);
      kevent_test::Thread three(run);
      if (round % 2 == 0) {
        one.AwaitAsleep();
        two.AwaitAsleep();
      }
      queue.stop();
    }
    EXPECT_EQ(running, 0);
    EXPECT_TRUE(queue.stopped());
    EXPECT_EQ(queue.run(), 0U);
    queue.restart();
  }
}

// One that waits for a single batch hands the wake-up on.
TEST(Queue, StopReachesAThreadThatRunsBesideOthers) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> over{false};
    kevent_test::Thread once([&] {
      while (!over) queue.run_once();
    });
    {
      kevent_test::Thread loop([&] { queue.run(); });
      once.AwaitAsleep();
      loop.AwaitAsleep();
      queue.stop();
    }
    over = true;
    queue.wake();
    once.Join();
    queue.restart();
  }
}

// One that is left by an exception, too.  Whichever of the two threads takes the wake-up.
TEST(Queue, StopReachesAThreadBesideOneThatThrows) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  const kevent::UserEvent thrower(queue, [] { throw 1; });
  for (int round = 0; round < 100; ++round) {
    kevent_test::Thread loop([&] {
      try {
        queue.run();
      } catch (int) {
      }
    });
    loop.AwaitAsleep();
    thrower.notify();
    queue.stop();
    try {
      queue.poll();
    } catch (int) {
    }
    loop.Join();
    queue.restart();
  }
}

TEST(Queue, StopsFromACallbackAfterTheBatch) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  int runs = 0;
  kevent::UserEvent one(queue, [&] {
    ++runs;
    queue.stop();
  });
  kevent::UserEvent two(queue, [&] { ++runs; });
  one.notify();
  two.notify();
  EXPECT_EQ(queue.run(), 2U);
  EXPECT_EQ(runs, 2);
}

TEST(Queue, DispatchHandsOnWhatHasNoCallback) {
  kevent::Queue queue;
  int cookie = 0;
  int runs = 0;
  kevent::CookieTimer plain(queue, &cookie);
  kevent::Timer called(queue, [&] { ++runs; });
  plain.expires_after(0s);
  called.expires_after(0s);
  std::array<ukevent, 4> room;
  std::vector<void*> others;
  const auto events = queue.collect(room, 2);
  EXPECT_EQ(queue.dispatch(events, [&](const ukevent& event) { others.push_back(event.ptr); }), 1U);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(others, std::vector<void*>{&cookie});
  plain.expires_after(0s);
  EXPECT_EQ(queue.run_once(), 0U);
}

// Whatever a program has for a cookie, dispatch does not follow it.
TEST(Queue, DispatchFollowsNoStrangersCookie) {
  kevent::Queue queue;
  // The first slot of a queue: its cookie is the tag alone.
  kevent::Timer called(queue, [] { FAIL() << "called for a stranger"; });
  constexpr uint64_t kTag = uint64_t{1} << 63;
  constexpr std::array<uint64_t, 6> kStrangers = {
      0, 1, UINT64_MAX, kTag | 12345, kTag | (uint64_t{77} << 32), ~kTag};
  for (const uint64_t bits : kStrangers) {
    ukevent event = {};
    event.ptr = reinterpret_cast<void*>(bits);
    EXPECT_EQ(queue.dispatch(std::span<const ukevent>(&event, 1)), 0U) << bits;
  }
}

}  // namespace
