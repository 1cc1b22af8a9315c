// SPDX-License-Identifier: MIT
//
// fork: the child has no timers and a fresh, empty, working queue; the parent
// notices nothing.

#include <fcntl.h>

#include <atomic>
#include <memory>
#include <ostream>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// ---- Called in children: no GoogleTest, no heap ----------------------------

void CheckInvalid(timer_t timer) {
  const itimerspec setting = Setting(kHour);
  itimerspec value;
  CHILD_CHECK(timer_settime(timer, 0, &setting, nullptr) == -1 && errno == EINVAL);
  CHILD_CHECK(timer_gettime(timer, &value) == -1 && errno == EINVAL);
  CHILD_CHECK(timer_getoverrun(timer) == -1 && errno == EINVAL);
  CHILD_CHECK(timer_delete(timer) == -1 && errno == EINVAL);
}

void CheckEmpty(int queue) {
  ukevent events[8];
  CHILD_CHECK(kevent_get_events(queue, 0, 8, nullptr, events, 0) == 0);
  CHILD_CHECK(!Readable(queue));
  const timespec timeout = ToTimespec(kMillisecond);
  CHILD_CHECK(kevent_get_events(queue, 1, 8, &timeout, events, 0) == 0);
}

void CheckWorking(int queue, clockid_t clock) {
  sigevent request;
  kevent_sigevent(&request, queue, &request);
  timer_t timer;
  CHILD_CHECK(timer_create(clock, &request, &timer) == 0);
  for (const int flags : {0, TIMER_ABSTIME}) {
    const itimerspec setting = Setting(flags == 0 ? kMillisecond : 1);
    CHILD_CHECK(timer_settime(timer, flags, &setting, nullptr) == 0);
    pollfd descriptor = {queue, POLLIN, 0};
    CHILD_CHECK(poll(&descriptor, 1, -1) == 1);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.ptr == &request);
    CHILD_CHECK(event.id.raw_u64 == reinterpret_cast<uint64_t>(timer));
  }
  CHILD_CHECK(timer_delete(timer) == 0);
}

void CheckFreshQueue(int queue) {
  CheckEmpty(queue);
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI}) {
    CheckWorking(queue, clock);
  }
  CheckEmpty(queue);
}

void CheckClosing(int queue) {
  CHILD_CHECK(close(queue) == 0);
  ukevent event;
  CHILD_CHECK(kevent_get_events(queue, 0, 1, nullptr, &event, 0) == -1 && errno == EBADF);
}

// ---- Both kinds of fork ----------------------------------------------------

// _Fork runs no handlers: the library notices the child at its first call.
struct ForkKind {
  const char* name;
  pid_t (*function)();
};

void PrintTo(const ForkKind& kind, std::ostream* out) { *out << kind.name; }

class Fork : public testing::TestWithParam<ForkKind> {
 protected:
  template <typename Body>
  void InChild(Body body) {
    ExpectChild(body, GetParam().function);
  }

  Queue queue_;
};

TEST_P(Fork, ChildHasNoTimers) {
  Timer armed(queue_.fd(), 1);
  armed.ArmIn(kHour, kHour);
  Timer expired(queue_.fd(), 2);
  expired.Expire();
  Timer idle(queue_.fd(), 3, CLOCK_REALTIME);
  InChild([&] {
    for (const timer_t timer : {armed.id(), expired.id(), idle.id()}) CheckInvalid(timer);
    CheckEmpty(queue_.fd());
  });
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{2});
  EXPECT_GT(ToNanos(armed.Get().it_value), 0);
}

// Also where the child has timers of its own, which lie where its parent's did.
TEST_P(Fork, HandlesOfTheParentAreNobodysInTheChild) {
  Timer mine(queue_.fd(), 1);
  InChild([&] {
    sigevent request;
    kevent_sigevent(&request, queue_.fd(), nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
    CheckInvalid(mine.id());
    CHILD_CHECK(timer_delete(timer) == 0);
  });
}

TEST_P(Fork, ChildHasAFreshWorkingQueue) {
  Timer timer(queue_.fd(), 1);
  timer.Expire();
  Timer soon(queue_.fd(), 2);
  soon.ArmIn(kMillisecond, kMillisecond);
  InChild([&] { CheckFreshQueue(queue_.fd()); });
  InChild([&] { CheckClosing(queue_.fd()); });
  soon.Disarm();
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
}

TEST_P(Fork, ChildCanMakeQueuesOfItsOwn) {
  InChild([] {
    const int own = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(own >= 0);
    CheckFreshQueue(own);
    CheckClosing(own);
  });
}

TEST_P(Fork, ChildHasAFreshQueueOnEachNumber) {
  Queue other;
  const int copy = dup(queue_.fd());
  InChild([&] {
    CheckFreshQueue(other.fd());
    CheckFreshQueue(copy);
    CheckFreshQueue(queue_.fd());
    CheckClosing(queue_.fd());
    CheckClosing(copy);
    CheckFreshQueue(other.fd());
  });
  close(copy);
}

TEST_P(Fork, ChildQueueHasTheCloseOnExecFlagOfTheParents) {
  InChild([&] { CHILD_CHECK((fcntl(queue_.fd(), F_GETFD) & FD_CLOEXEC) != 0); });
  ASSERT_EQ(fcntl(queue_.fd(), F_SETFD, 0), 0);
  InChild([&] {
    CheckEmpty(queue_.fd());
    CHILD_CHECK((fcntl(queue_.fd(), F_GETFD) & FD_CLOEXEC) == 0);
  });
}

TEST_P(Fork, GrandchildToo) {
  Timer timer(queue_.fd(), 1);
  timer.Expire();
  InChild([&] {
    sigevent request;
    kevent_sigevent(&request, queue_.fd(), nullptr);
    timer_t own;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &own) == 0);
    const itimerspec past = Setting(1);
    CHILD_CHECK(timer_settime(own, TIMER_ABSTIME, &past, nullptr) == 0);
    const pid_t grandchild = GetParam().function();
    CHILD_CHECK(grandchild >= 0);
    if (grandchild == 0) {
      CheckInvalid(own);
      CheckFreshQueue(queue_.fd());
      _exit(0);
    }
    CHILD_CHECK(ExitStatus(grandchild) == 0);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue_.fd(), 0, 1, nullptr, &event, 0) == 1);
  });
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
}

// The child's descriptors refer to the parent's kernel objects until it has
// replaced them: nothing that it does may reach those.
TEST_P(Fork, ParentTimersComeOnTime) {
  std::vector<Timer> timers;
  const clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI};
  for (const clockid_t clock : kClocks) timers.emplace_back(queue_.fd(), timers.size(), clock);
  for (size_t i = 0; i < timers.size(); ++i) {
    timers[i].ArmAt(Now(kClocks[i]) + 20 * kMillisecond);
  }
  InChild([&] {
    CheckFreshQueue(queue_.fd());
    CheckClosing(queue_.fd());
  });
  AwaitReadable(queue_.fd());
  EXPECT_EQ(Collect(queue_.fd(), 4, 8).size(), 4u);
  EXPECT_FALSE(Readable(queue_.fd()));
}

TEST_P(Fork, ParentIsWokenWhileTheChildLives) {
  Timer timer(queue_.fd(), 1);
  int hold[2];
  ASSERT_EQ(pipe2(hold, O_CLOEXEC), 0);
  const pid_t child = GetParam().function();
  if (child == 0) {
    close(hold[1]);
    CheckFreshQueue(queue_.fd());
    char byte;
    CHILD_CHECK(read(hold[0], &byte, 1) == 0);  // until the parent is done
    CheckFreshQueue(queue_.fd());
    _exit(0);
  }
  close(hold[0]);
  for (int i = 0; i < 20; ++i) {
    Sleeper sleeper(queue_.fd(), 1, 1);
    sleeper.AwaitAsleep();
    if (i % 2 == 0) {
      timer.Expire();
    } else {
      timer.ArmIn(kMillisecond);
    }
    EXPECT_EQ(sleeper.result(), 1);
    EXPECT_FALSE(Readable(queue_.fd()));
  }
  close(hold[1]);
  EXPECT_EQ(ExitStatus(child), 0);
}

TEST_P(Fork, ChildThatTouchesNothing) {
  Timer timer(queue_.fd(), 1);
  timer.ArmIn(5 * kMillisecond);
  InChild([] {});
  EXPECT_EQ(Collect(queue_.fd(), 1, 1).size(), 1u);
}

TEST_P(Fork, ChildHandsOutHandlesOfItsOwn) {
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 50; ++i) timers.emplace_back(queue_.fd(), i);
  InChild([&] {
    for (int i = 0; i < 100; ++i) {
      sigevent request;
      kevent_sigevent(&request, queue_.fd(), nullptr);
      timer_t own;
      CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &own) == 0);
    }
  });
  for (const Timer& timer : timers) timer.Expire();
  EXPECT_EQ(CollectReady(queue_.fd()).size(), 50u);
}

// Locks, leadership and half-done armings of other threads stay behind.
TEST_P(Fork, FromAProcessWithBusyThreads) {
  constexpr int kChildren = 60;
  std::atomic<bool> stop = false;
  std::atomic<int> collected = 0;
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (uintptr_t i = 0; i < 2; ++i) {
      threads.push_back(std::make_unique<Thread>([&, i] {
        Timer timer(queue_.fd(), i);
        while (!stop) {
          timer.Expire();
          timer.ArmIn(20 * kMicrosecond);
          Timer brief(queue_.fd(), i);
          brief.Expire();
        }
      }));
    }
    for (int i = 0; i < 2; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        while (!stop) {
          // Nothing on the heap, which in the child would have lost its owner.
          ukevent events[4];
          const timespec timeout = ToTimespec(kMillisecond);
          const int count = kevent_get_events(queue_.fd(), 1, 4, &timeout, events, 0);
          EXPECT_GE(count, 0);
          collected += count;
        }
      }));
    }
    for (int i = 0; i < kChildren; ++i) {
      const int before = collected;
      InChild([&] {
        CheckFreshQueue(queue_.fd());
        if (i % 2 == 0) CheckClosing(queue_.fd());
      });
      while (collected == before) sched_yield();  // the threads go on
    }
    stop = true;
  }
  CollectReady(queue_.fd());
  Timer timer(queue_.fd(), 7);
  timer.Expire();
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{7});
}

// The helper thread for CPU time does not exist in the child.
TEST_P(Fork, CpuTimeTimersWorkInBoth) {
  Timer timer(queue_.fd(), 1, CLOCK_PROCESS_CPUTIME_ID);
  timer.ArmIn(kHour);
  InChild([&] {
    CheckInvalid(timer.id());
    CheckEmpty(queue_.fd());
    sigevent request;
    kevent_sigevent(&request, queue_.fd(), nullptr);
    timer_t own;
    CHILD_CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &request, &own) == 0);
    const itimerspec soon = Setting(2 * kMillisecond);
    CHILD_CHECK(timer_settime(own, 0, &soon, nullptr) == 0);
    while (!Readable(queue_.fd())) {
    }
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue_.fd(), 1, 1, nullptr, &event, 0) == 1);
  });
  timer.ArmIn(2 * kMillisecond);
  while (!Readable(queue_.fd())) {
  }
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
}

INSTANTIATE_TEST_SUITE_P(By, Fork,
                         testing::Values(ForkKind{"fork", fork}, ForkKind{"_Fork", _Fork}),
                         [](const auto& test) {
                           return test.param.name[0] == '_' ? "underscore_Fork" : "fork";
                         });

}  // namespace
}  // namespace kevent_test
