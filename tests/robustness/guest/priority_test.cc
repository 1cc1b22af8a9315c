// SPDX-License-Identifier: MIT
//
// Threads of different priority on one core: whoever is interrupted by one of
// higher priority inside the library is not waited for in vain.

#include <sched.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

// The calling thread, on the first core; whether that is allowed.
bool RunAs(int policy, int priority) {
  cpu_set_t first;
  CPU_ZERO(&first);
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &first);
  }
  sched_param parameter = {};
  parameter.sched_priority = priority;
  return sched_setaffinity(0, sizeof first, &first) == 0 &&
         sched_setscheduler(0, policy, &parameter) == 0;
}

class Priority : public testing::Test {
 protected:
  void SetUp() override {
    bool allowed = false;
    {
      const Thread probe([&] { allowed = RunAs(SCHED_FIFO, 1); });
    }
    if (!allowed) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  }

 private:
  Watchdog watchdog_;
};

// An armer of each kind sets the same timers; the one of real-time priority goes
// to sleep now and then, so that the other one gets into the middle of a call.  On
// their one core the other one makes no step while this one does not sleep: it
// never waits for what the other one has begun.
TEST_F(Priority, RealTimeArmerAgainstAnIdleOne) {
  constexpr int kRounds = 400;
  const Queue queue;
  const Timer timer(queue.fd(), 1);
  const Timer pace(queue.fd(), 2);
  std::atomic<bool> over{false};
  std::atomic<int> idle_rounds{0};
  int waited_for = 0;
  {
    const Thread idle([&] {
      RunAs(SCHED_IDLE, 0);
      while (!over) {
        timer.Expire();
        timer.ArmIn(kHour);
        ++idle_rounds;
      }
    });
    const Thread real_time([&] {
      RunAs(SCHED_FIFO, 50);
      // The idle one has a turn only now and then while other programs want the core.
      for (int round = 0; round < kRounds || idle_rounds == 0; ++round) {
        // Asleep for 50 us, and back in the middle of what the other one does.
        pace.ArmIn(50 * kMicrosecond);
        std::array<ukevent, 4> events;
        bool paced = false;
        while (!paced) {
          const int n = kevent_get_events(queue.fd(), 1, 4, nullptr, events.data(), 0);
          for (int i = 0; i < n; ++i) paced = paced || Cookie(events[i]) == 2;
        }
        const int before = idle_rounds;
        for (int i = 0; i < 20; ++i) {
          timer.Expire();
          timer.Disarm();
        }
        if (idle_rounds != before) ++waited_for;
      }
      over = true;
    });
  }
  EXPECT_GT(idle_rounds, 0);
  EXPECT_EQ(waited_for, 0);
}

// Collectors of each kind share the events of one queue.
TEST_F(Priority, RealTimeAndOrdinaryCollectors) {
  constexpr uint64_t kEvents = 2'000;
  const Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 8; ++i) timers.emplace_back(queue.fd(), i);
  const Timer end(queue.fd(), 100);
  std::atomic<uint64_t> collected{0};
  std::atomic<bool> over{false};
  const auto collect = [&](int policy, int priority) {
    RunAs(policy, priority);
    std::array<ukevent, 4> events;
    while (!over) {
      const int n = kevent_get_events(queue.fd(), 1, 4, nullptr, events.data(), 0);
      for (int i = 0; i < n; ++i) {
        if (Cookie(events[i]) == 100) {
          over = true;
        } else {
          ++collected;
        }
      }
    }
    end.Expire();  // for the other one
  };
  {
    const Thread ordinary([&] { collect(SCHED_OTHER, 0); });
    const Thread idle([&] { collect(SCHED_IDLE, 0); });
    const Thread real_time([&] { collect(SCHED_FIFO, 50); });
    for (uint64_t armed = 0; armed < kEvents; armed += timers.size()) {
      for (const Timer& timer : timers) timer.ArmIn(10 * kMicrosecond);
      while (collected < armed + timers.size()) sched_yield();
    }
    end.Expire();
  }
  EXPECT_GE(collected, kEvents);
}

}  // namespace
}  // namespace kevent_test
