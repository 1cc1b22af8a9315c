// SPDX-License-Identifier: MIT
//
// The machine's clock is really set, by a minute, and set back: only where
// KEVENT_TEST_SET_CLOCK is in the environment, since it is everybody's clock.

#include <cstdlib>

#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr Nanos kStep = 60 * kSecond;

void StepRealtime(Nanos step) {
  const timespec moment = ToTimespec(Now(CLOCK_REALTIME) + step);
  ASSERT_EQ(clock_settime(CLOCK_REALTIME, &moment), 0) << std::strerror(errno);
}

TEST(ClockSet, WakesAnAbsoluteTimerAndLeavesARelativeOneAlone) {
  if (std::getenv("KEVENT_TEST_SET_CLOCK") == nullptr) {
    GTEST_SKIP() << "sets the machine's clock: only with KEVENT_TEST_SET_CLOCK";
  }
  const Watchdog watchdog;
  const Queue queue;
  const Timer relative(queue.fd(), 1, CLOCK_REALTIME);
  const Timer absolute(queue.fd(), 2, CLOCK_REALTIME);
  relative.ArmIn(kStep / 2);
  absolute.ArmAt(Now(CLOCK_REALTIME) + kStep / 2);
  std::vector<uintptr_t> cookies;
  {
    const Thread sleeper([&] {
      ukevent event;
      const timespec limit = {20, 0};
      if (kevent_get_events(queue.fd(), 1, 1, &limit, &event, 0) == 1) {
        cookies.push_back(Cookie(event));
      }
    });
    sleeper.AwaitAsleep();
    StepRealtime(kStep);
  }
  const Nanos left = ToNanos(relative.Get().it_value);
  StepRealtime(-kStep);
  EXPECT_EQ(cookies, std::vector<uintptr_t>{2});
  EXPECT_GT(left, 0);
  EXPECT_LE(left, kStep / 2);
}

}  // namespace
}  // namespace kevent_test
