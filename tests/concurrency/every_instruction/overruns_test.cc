// SPDX-License-Identifier: MIT
//
// timer_getoverrun, of a timer that another thread sets while it is collected.

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Overruns : public SteppedTest {};

// Overruns are those of the collected completion, and end with its setting.
TEST_F(Overruns, ASettingThatComesBetweenHasNone) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Queue queue;
    sigevent request;
    kevent_sigevent(&request, queue.fd(), nullptr);
    timer_t timer;
    ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &request, &timer), 0) << std::strerror(errno);
    const itimerspec often = Setting(1, kMillisecond);
    ASSERT_EQ(timer_settime(timer, TIMER_ABSTIME, &often, nullptr), 0);
    ukevent event;
    stepper.Run([&] { kevent_get_events(queue.fd(), 0, 1, nullptr, &event, 0); },
                [timer] {
                  const itimerspec late = Setting(kHour);
                  EXPECT_EQ(timer_settime(timer, 0, &late, nullptr), 0);
                });
    const int overruns = timer_getoverrun(timer);
    if (stepper.interrupted()) {
      EXPECT_EQ(overruns, 0);
    } else {
      EXPECT_GT(overruns, 0);
    }
    EXPECT_EQ(timer_delete(timer), 0);
  }
}

}  // namespace
}  // namespace kevent_test
