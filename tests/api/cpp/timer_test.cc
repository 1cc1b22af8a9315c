// SPDX-License-Identifier: MIT
//
// kevent::Timer and its kin.

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <kevent/kevent.hpp>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

static_assert(!std::is_copy_constructible_v<kevent::Timer>);
static_assert(std::is_nothrow_move_constructible_v<kevent::Timer>);
static_assert(sizeof(kevent::CookieTimer) == sizeof(timer_t));
// A deadline on another clock is refused by the compiler.
template <class Timer, class TimePoint>
concept CanExpireAt = requires(Timer timer, TimePoint deadline) {
  timer.expires_at(deadline);
};
static_assert(CanExpireAt<kevent::Timer, steady_clock::time_point>);
static_assert(!CanExpireAt<kevent::Timer, system_clock::time_point>);
static_assert(CanExpireAt<kevent::SystemTimer, system_clock::time_point>);

TEST(Timer, ExpiresOnceNotBeforeItsTime) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::optional<steady_clock::time_point> expired;
  nanoseconds lateness = -1ns;
  kevent::Timer timer(queue, [&](const kevent::Expiration& expiration) {
    expired = steady_clock::now();
    lateness = expiration.lateness;
  });
  const auto begin = steady_clock::now();
  timer.expires_after(std::chrono::duration<double, std::milli>(2.5));
  EXPECT_EQ(timer.interval(), 0ns);
  EXPECT_EQ(queue.run_once(), 1U);
  ASSERT_TRUE(expired);
  EXPECT_GE(*expired - begin, 2500us);
  EXPECT_GE(lateness, 0ns);
  EXPECT_EQ(timer.remaining(), 0ns);
}

TEST(Timer, ExpiresAtMomentsOfItsClock) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  int runs = 0;
  const auto count = [&] { ++runs; };
  kevent::Timer steady(queue, count);
  kevent::SystemTimer date(queue, count);
  kevent::BasicTimer<kevent::BootClock> boot(queue, count);
  steady.expires_at(steady_clock::now() + 1ms);
  date.expires_at(system_clock::now() + 1ms);
  boot.expires_at(kevent::BootClock::now() + 1ms);
  // Moments that have passed, the epoch and before it.
  kevent::Timer passed(queue, count);
  passed.expires_at(steady_clock::time_point::min());
  kevent::SystemTimer epoch(queue, count);
  epoch.expires_at(system_clock::time_point());
  while (runs < 5) queue.run_once();
  EXPECT_EQ(runs, 5);
}

TEST(Timer, TakesTheClockOfAThread) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  clockid_t clock = 0;
  ASSERT_EQ(pthread_getcpuclockid(pthread_self(), &clock), 0);
  int cookie = 0;
  kevent::BasicCookieTimer<kevent::ThreadClock> timer(queue, &cookie, clock);
  timer.expires_after(1ms);
  std::array<ukevent, 1> room;
  for (;;) {  // burns the time
    const auto events = queue.collect(room, 0);
    if (events.empty()) continue;
    EXPECT_EQ(events[0].ptr, &cookie);
    return;
  }
}

TEST(Timer, CountsOverruns) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  uint64_t expirations = 0;
  kevent::Timer timer(
      queue, [&](const kevent::Expiration& expiration) { expirations += 1 + expiration.overruns; });
  const auto begin = steady_clock::now();
  timer.expires_at(begin, 1us);
  EXPECT_EQ(timer.interval(), 1us);
  while (expirations < 1000) queue.run_once();
  EXPECT_GE(steady_clock::now() - begin, nanoseconds(1us) * 999);
  EXPECT_GE(timer.overruns(), 0);
  timer.cancel();
  EXPECT_EQ(timer.interval(), 0ns);
  EXPECT_EQ(queue.poll(), 0U);
}

TEST(Timer, SetAnewForgetsWhatIsInTheBatch) {
  kevent::Queue queue;
  int first = 0;
  int second = 0;
  int third = 0;
  kevent::Timer postponed(queue, [&] { ++second; });
  kevent::Timer cancelled(queue, [&] { ++third; });
  kevent::Timer timer(queue, [&] {
    ++first;
    postponed.expires_after(1h);
    cancelled.cancel();
  });
  timer.expires_after(0s);
  postponed.expires_after(0s);
  cancelled.expires_after(0s);
  std::array<ukevent, 4> room;
  const auto events = queue.collect(room, 3);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(queue.dispatch(events), 1U);
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
  EXPECT_EQ(third, 0);
  // Of the new setting, which ends at once.
  postponed.expires_after(0s);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(second, 1);
}

TEST(Timer, ManyAreSetInOneCall) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  unsigned runs = 0;
  std::vector<kevent::Timer> timers;
  std::vector<kevent_setting> settings;
  timers.reserve(100);
  settings.reserve(101);
  for (int i = 0; i < 100; ++i) timers.emplace_back(queue, [&] { ++runs; });
  for (const kevent::Timer& timer : timers) settings.push_back(timer.setting_after(1ms));
  settings[1] = timers[1].setting_at(steady_clock::now() + 1ms, 1h);
  kevent_setting none = timers[0].setting_after(1ms);
  none.timer = nullptr;
  settings.push_back(none);
  EXPECT_EQ(kevent::set(settings), 100U);
  EXPECT_EQ(settings.back().error, EINVAL);
  while (runs < 100) queue.run_once();
  EXPECT_EQ(timers[1].interval(), 1h);
  std::error_code error = std::make_error_code(std::errc::io_error);
  EXPECT_EQ(kevent::set({}, error), 0U);
  EXPECT_FALSE(error);
}

TEST(Timer, MovesWithItsCallback) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  int one = 0;
  int other = 0;
  kevent::Timer timer(queue, [&] { ++one; });
  timer.expires_after(0s);
  kevent::Timer moved(std::move(timer));
  EXPECT_FALSE(timer);  // NOLINT(bugprone-use-after-move): it is empty
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(one, 1);
  moved.expires_after(0s);
  moved = kevent::Timer(queue, [&] { ++other; });
  moved.expires_after(0s);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(one, 1);
  EXPECT_EQ(other, 1);
}

TEST(Timer, ErrorsOfBothForms) {
  kevent::Queue queue;
  std::error_code error;
  const kevent::CookieTimer none(queue, nullptr, CLOCK_MONOTONIC_RAW, error);
  EXPECT_EQ(error, std::errc::operation_not_supported);
  EXPECT_FALSE(none);
  EXPECT_THROW(kevent::Timer(
                   queue, [] {}, CLOCK_MONOTONIC_RAW),
               std::system_error);
  kevent::Timer empty;
  empty.expires_after(1ms, error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  EXPECT_THROW(empty.expires_every(1ms), std::system_error);
  EXPECT_THROW(empty.cancel(), std::system_error);
  EXPECT_THROW(static_cast<void>(empty.remaining()), std::system_error);
  EXPECT_EQ(empty.remaining(error), 0ns);
  EXPECT_EQ(error, std::errc::invalid_argument);
  empty.abandon();
  kevent::Timer good(
      queue, [] {}, error);
  EXPECT_FALSE(error);
  good.expires_every(1h, error);
  EXPECT_FALSE(error);
  good.expires_at(steady_clock::now() + 1h, error);
  EXPECT_FALSE(error);
  EXPECT_EQ(good.overruns(error), 0);
  good.cancel(error);
  EXPECT_FALSE(error);
}

// The C library's first timer has a null timer_t.
TEST(Timer, AnEmptyOneIsNoTimerOfTheCLibrary) {
  kevent::Queue queue;
  sigevent event = {};
  event.sigev_notify = SIGEV_NONE;
  timer_t first = nullptr;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &first), 0);
  const itimerspec hour = {.it_interval = {}, .it_value = {3600, 0}};
  ASSERT_EQ(timer_settime(first, 0, &hour, nullptr), 0);
  kevent::Timer full(queue, [] {});
  kevent::Timer moved(std::move(full));
  std::error_code error;
  const kevent::CookieTimer none(queue, nullptr, CLOCK_MONOTONIC_RAW, error);
  ASSERT_FALSE(none);
  const kevent::Timer by_default;
  for (const kevent::Timer* const timer : std::array<const kevent::Timer*, 2>{&full, &by_default}) {
    const kevent::Timer& empty = *timer;
    EXPECT_FALSE(empty);
    static_cast<void>(empty.remaining(error));
    EXPECT_EQ(error, std::errc::invalid_argument);
    EXPECT_EQ(empty.overruns(error), -1);
    EXPECT_EQ(error, std::errc::invalid_argument);
    kevent_setting setting = empty.setting_after(10h);
    EXPECT_EQ(kevent::set(std::span(&setting, 1)), 0U);
    EXPECT_EQ(setting.error, EINVAL);
  }
  full.expires_after(10h, error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  full.cancel(error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  itimerspec left = {};
  EXPECT_EQ(timer_gettime(first, &left), 0);
  EXPECT_GT(left.it_value.tv_sec, 0);
  EXPECT_LE(left.it_value.tv_sec, 3600);
  EXPECT_EQ(timer_delete(first), 0);
}

TEST(Timer, MayOutliveItsQueue) {
  auto queue = std::make_unique<kevent::Queue>();
  kevent::Timer timer(*queue, [] { FAIL() << "called without a queue"; });
  kevent::UserEvent event(*queue, [] { FAIL() << "called without a queue"; });
  timer.expires_after(0s);
  event.notify();
  queue.reset();
  event.notify();
  timer.expires_after(1h);
  EXPECT_GT(timer.remaining(), 0ns);
  // Another queue under the number gets nothing of theirs.
  kevent::Queue next;
  timer.expires_after(0s);
  event.notify();
  EXPECT_EQ(next.poll(), 0U);
}

TEST(Timer, NoTimeIsTooLong) {
  kevent::Queue queue;
  kevent::Timer timer(queue, [] {});
  timer.expires_after(std::chrono::hours::max(), std::chrono::hours::max());
  EXPECT_GT(timer.remaining(), 24h * 365 * 145);
  timer.expires_at(steady_clock::time_point::max());
  EXPECT_GT(timer.remaining(), 24h * 365 * 145);
  EXPECT_EQ(queue.poll(), 0U);
}

}  // namespace
