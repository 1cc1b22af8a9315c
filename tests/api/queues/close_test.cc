// SPDX-License-Identifier: MIT
//
// The end of a queue: what its timers and its sleepers see of it.

#include <fcntl.h>

#include <memory>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

void ExpectBadDescriptor(int fd) {
  ukevent event;
  EXPECT_EQ(kevent_get_events(fd, 1, 1, nullptr, &event, 0), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Close, LeavesNoDescriptorBehind) {
  const std::set<int> before = OpenDescriptors();
  for (int round = 0; round < 10; ++round) {
    Queue queue;
    for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
      Timer timer(queue.fd(), 1, clock);
      timer.ArmIn(kHour);
    }
    Timer expired(queue.fd(), 1);
    expired.Expire();
    EXPECT_NE(OpenDescriptors(), before);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Close, IsSeenByEveryCall) {
  Queue queue;
  const int fd = queue.fd();
  queue.Close();
  ExpectBadDescriptor(fd);
  EXPECT_EQ(close(fd), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Close, ManyQueuesOneAfterTheOther) {
  const std::set<int> before = OpenDescriptors();
  for (int round = 0; round < 2'000; ++round) {
    Queue queue;
    Timer timer(queue.fd(), 1);
    timer.Expire();
    ASSERT_EQ(Collect(queue.fd(), 1, 1).size(), 1u);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Close, ManyQueuesAtOnce) {
  const std::set<int> before = OpenDescriptors();
  {
    std::vector<std::unique_ptr<Queue>> queues;
    std::vector<Timer> timers;
    for (uintptr_t i = 0; i < 100; ++i) {
      queues.push_back(std::make_unique<Queue>());
      timers.emplace_back(queues.back()->fd(), i);
      timers.back().Expire();
    }
    for (uintptr_t i = 0; i < 100; ++i) {
      EXPECT_EQ(CollectReady(queues[i]->fd()), std::vector<uintptr_t>{i});
    }
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

class TimerOfAClosedQueue : public testing::TestWithParam<clockid_t> {
 protected:
  Queue queue_;
  Timer timer_{queue_.fd(), 1, GetParam()};
};

TEST_P(TimerOfAClosedQueue, GoesOnSilently) {
  const Nanos first = Now(GetParam()) + kHour;
  timer_.ArmAt(first, 7);
  queue_.Close();
  const Nanos before = Now(GetParam());
  const itimerspec value = timer_.Get();
  const Nanos after = Now(GetParam());
  EXPECT_EQ(ToNanos(value.it_interval), 7);
  EXPECT_LE(ToNanos(value.it_value), first - before);
  EXPECT_GE(ToNanos(value.it_value), first - after);
}

TEST_P(TimerOfAClosedQueue, KeepsItsPhase) {
  timer_.ArmAt(1, kHour);
  queue_.Close();
  const Nanos remaining = ToNanos(timer_.Get().it_value);
  EXPECT_GT(remaining, 0);
  EXPECT_LE(remaining, kHour);
}

TEST_P(TimerOfAClosedQueue, CanBeSetAndSaysItsOldValue) {
  timer_.ArmIn(kHour, 9);
  queue_.Close();
  const itimerspec setting = Setting(2 * kHour, 11);
  itimerspec old = {};
  EXPECT_EQ(timer_settime(timer_.id(), 0, &setting, &old), 0);
  EXPECT_EQ(ToNanos(old.it_interval), 9);
  EXPECT_GT(ToNanos(old.it_value), 0);
  EXPECT_LE(ToNanos(old.it_value), kHour);
  EXPECT_GT(ToNanos(timer_.Get().it_value), kHour);
  timer_.Expire();
  EXPECT_EQ(ToNanos(timer_.Get().it_value), 0);
  EXPECT_EQ(timer_getoverrun(timer_.id()), 0);
  timer_.Disarm();
}

TEST_P(TimerOfAClosedQueue, CanBeDeletedAndIsInvalidThen) {
  timer_.Expire();
  queue_.Close();
  timer_.Delete();
  EXPECT_EQ(timer_delete(timer_.id()), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_P(TimerOfAClosedQueue, DoesNotCompleteIntoTheNextQueueOfThatNumber) {
  const int fd = queue_.fd();
  timer_.Expire();
  queue_.Close();
  Queue next;
  ASSERT_EQ(next.fd(), fd) << "the lowest free number";
  EXPECT_EQ(CollectReady(next.fd()), std::vector<uintptr_t>{});
  timer_.Expire();
  EXPECT_FALSE(Readable(next.fd()));
  EXPECT_EQ(CollectReady(next.fd()), std::vector<uintptr_t>{});
  Timer own(next.fd(), 2, GetParam());
  own.Expire();
  EXPECT_EQ(CollectReady(next.fd()), std::vector<uintptr_t>{2});
}

INSTANTIATE_TEST_SUITE_P(On, TimerOfAClosedQueue,
                         testing::Values(CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_TAI,
                                         CLOCK_PROCESS_CPUTIME_ID),
                         [](const auto& test) {
                           switch (test.param) {
                             case CLOCK_REALTIME:
                               return "realtime";
                             case CLOCK_MONOTONIC:
                               return "monotonic";
                             case CLOCK_TAI:
                               return "tai";
                             default:
                               return "process_cpu";
                           }
                         });

TEST(CloseWithSleepers, BringsThemAllBackWithEbadf) {
  for (const unsigned min : {1u, 3u}) {
    Queue queue;
    Timer timer(queue.fd(), 1);
    timer.ArmIn(kHour);
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.push_back(std::make_unique<Sleeper>(queue.fd(), min, 4));
      sleepers.back()->AwaitAsleep();
    }
    queue.Close();
    for (const auto& sleeper : sleepers) {
      EXPECT_EQ(sleeper->result(), -1);
      EXPECT_EQ(sleeper->error(), EBADF);
    }
  }
}

TEST(CloseWithSleepers, WithTimeoutsAndMasksToo) {
  Queue queue;
  Sleeper first(queue.fd(), 1, 1, kHour);
  first.AwaitAsleep();
  const int fd = queue.fd();
  int result = 0;
  int error = 0;
  Thread second([&] {
    sigset_t mask;
    sigemptyset(&mask);
    ukevent event;
    result = kevent_pget_events(fd, 1, 1, nullptr, &event, 0, &mask);
    error = errno;
  });
  second.AwaitAsleep();
  queue.Close();
  EXPECT_EQ(first.result(), -1);
  EXPECT_EQ(first.error(), EBADF);
  second.Join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EBADF);
}

TEST(CloseWithSleepers, LeavesNoDescriptorBehind) {
  const std::set<int> before = OpenDescriptors();
  {
    Queue queue;
    Sleeper first(queue.fd(), 1, 1);
    first.AwaitAsleep();
    Sleeper second(queue.fd(), 1, 1);
    second.AwaitAsleep();
    queue.Close();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

// An armer does not notice that the queue goes away under it.
TEST(CloseWithArmers, IsHarmless) {
  const std::set<int> before = OpenDescriptors();
  for (int round = 0; round < 200; ++round) {
    auto queue = std::make_unique<Queue>();
    Timer timer(queue->fd(), 1);
    std::atomic<bool> stop = false;
    std::atomic<int> armed = 0;
    Thread armer([&] {
      for (; !stop; ++armed) {
        timer.Expire();
        timer.ArmIn(kMillisecond);
      }
    });
    while (armed < 3) sched_yield();
    queue.reset();
    // Its numbers may be others' by now.
    const int stranger = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int seen = armed;
    while (armed < seen + 3) sched_yield();
    stop = true;
    armer.Join();
    close(stranger);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace kevent_test
