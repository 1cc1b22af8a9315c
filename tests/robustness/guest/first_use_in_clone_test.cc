// SPDX-License-Identifier: MIT
//
// A child of clone(2) whose parent has not used the library makes the first call.  The C library
// has the parent's thread id there, so a lock that passed priority on would name a holder that the
// kernel does not know: two in two children ended by SIGABRT or hung.

#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr int kTimers = 5000;

void MakeTimers(int queue) {
  for (int i = 0; i < kTimers; ++i) {
    sigevent event;
    kevent_sigevent(&event, queue, nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    const itimerspec past = {{0, 0}, {0, 1}};
    CHILD_CHECK(timer_settime(timer, TIMER_ABSTIME, &past, nullptr) == 0);
    std::array<ukevent, 4> events;
    CHILD_CHECK(kevent_get_events(queue, 0, events.size(), nullptr, events.data(), 0) >= 0);
    CHILD_CHECK(timer_delete(timer) == 0);
  }
}

// Only here: another test of this program would be a use by the parent.
TEST(FirstUseInClone, ItsThreadsShareLocks) {
  ExpectChild(
      [] {
        const int queue = kevent_init(nullptr, 0, 0);
        CHILD_CHECK(queue >= 0);
        const Thread first([queue] { MakeTimers(queue); });
        const Thread second([queue] { MakeTimers(queue); });
        MakeTimers(queue);
      },
      [] { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); });
}

}  // namespace
}  // namespace kevent_test
