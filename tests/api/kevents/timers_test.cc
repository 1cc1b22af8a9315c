// SPDX-License-Identifier: MIT
//
// KEVENT_TIMER: by period, and by specification.

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

uint64_t Period(uint32_t seconds, uint32_t nanoseconds) {
  kevent_id id;
  id.raw[0] = seconds;
  id.raw[1] = nanoseconds;
  return id.raw_u64;
}

class Timers : public testing::Test {
 protected:
  const Queue queue_;
  const int fd_ = queue_.fd();
};

TEST_F(Timers, APeriodGoesOnUntilItIsRemoved) {
  const ukevent request = Request(KEVENT_TIMER, Period(0, 2'000'000), KEVENT_TIMER_FIRED, 0, 4);
  const Nanos begin = Now(CLOCK_MONOTONIC);
  ASSERT_EQ(Add(fd_, request), 0);
  uint64_t expirations = 0;
  while (expirations < 5) {
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, KEVENT_TIMER);
    EXPECT_EQ(events[0].id.raw_u64, request.id.raw_u64);
    EXPECT_EQ(events[0].event, KEVENT_TIMER_FIRED);
    EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(4));
    expirations += 1 + events[0].ret_data[0];
    // Never early, in the phase of its beginning.
    EXPECT_GE(Now(CLOCK_MONOTONIC) - begin,
              static_cast<Nanos>(expirations) * 2 * kMillisecond + events[0].ret_data[1]);
  }
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, request), 0);
  EXPECT_TRUE(Take(fd_, 1, 1, 5 * kMillisecond).empty());
}

TEST_F(Timers, TwoOfOnePeriod) {
  ASSERT_EQ(Add(fd_, Request(KEVENT_TIMER, Period(0, 1'000'000), 1, KEVENT_REQ_ONESHOT, 1)), 0);
  ASSERT_EQ(Add(fd_, Request(KEVENT_TIMER, Period(0, 1'000'000), 1, KEVENT_REQ_ONESHOT, 2)), 0);
  const auto events = Take(fd_, 2);
  ASSERT_EQ(events.size(), 2);
  EXPECT_NE(events[0].ptr, events[1].ptr);
  EXPECT_TRUE(Take(fd_, 1, 1, 5 * kMillisecond).empty());
  ukevent entry = Request(KEVENT_TIMER, Period(0, 1'000'000), 1, 0, 1);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 1, &entry), 1) << "a oneshot stays registered";
}

class Clock : public Timers, public testing::WithParamInterface<clockid_t> {};

TEST_P(Clock, ASpecificationIsAbsoluteOrRelativeWithAnInterval) {
  const Nanos at = Now(GetParam()) + 2 * kMillisecond;
  const kevent_timer_spec absolute = {GetParam(), TIMER_ABSTIME, Setting(at)};
  kevent_timer_spec relative = {GetParam(), 0, Setting(kMillisecond, kHour)};
  ASSERT_EQ(Add(fd_, TimerRequest(1, &absolute)), 0);
  ASSERT_EQ(Add(fd_, TimerRequest(2, &relative)), 0);
  relative = {};  // was read
  size_t seen = 0;
  while (seen < 2) {
    for (const ukevent& event : Take(fd_, 1)) {
      ++seen;
      EXPECT_EQ(event.event, KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC);
      EXPECT_EQ(event.ret_data[0], 0);
      if (event.id.raw_u64 == 1) {
        EXPECT_GE(Now(GetParam()), at);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Clock,
                         testing::Values(CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME,
                                         CLOCK_TAI));

TEST_F(Timers, OverrunsAreCounted) {
  const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME,
                                  Setting(Now(CLOCK_MONOTONIC) - kSecond, 100 * kMillisecond)};
  ASSERT_EQ(Add(fd_, TimerRequest(1, &past)), 0);
  const auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_GE(events[0].ret_data[0], 10);

  const kevent_timer_spec most = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1, 1)};
  ASSERT_EQ(Add(fd_, TimerRequest(2, &most, 0, KEVENT_REQ_ONESHOT)), 0);
  for (const ukevent& event : Take(fd_, 1)) {
    if (event.id.raw_u64 == 2) {
      EXPECT_EQ(event.ret_data[0], INT_MAX);
    }
  }
}

TEST_F(Timers, ModifyRearmsAndDisarms) {
  const kevent_timer_spec far = {CLOCK_MONOTONIC, 0, Setting(kHour)};
  const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1)};
  const kevent_timer_spec never = {CLOCK_MONOTONIC, 0, Setting(0)};
  ASSERT_EQ(Add(fd_, TimerRequest(1, &far)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &past)), 0);
  EXPECT_EQ(Take(fd_, 1).size(), 1);
  // Due, and taken back.
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &past)), 0);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &never)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  // A one-shot that has fired can be set again.
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &past)), 0);
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

// However it came to be due, and whoever asks: the descriptor, or a call that waits for several.
TEST_F(Timers, APausedOneIsNotDue) {
  const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1)};
  ASSERT_EQ(Add(fd_, TimerRequest(1, &past)), 0);
  EXPECT_TRUE(Readable(fd_));
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, Request(KEVENT_TIMER, 1, KEVENT_MASK_EMPTY)), 0);
  EXPECT_FALSE(Readable(fd_));
  // Registered so.
  const uint64_t period = Period(0, 1'000'000);
  ASSERT_EQ(Add(fd_, Request(KEVENT_TIMER, period, KEVENT_MASK_EMPTY)), 0);
  // Set and paused by one call.
  std::array<ukevent, 2> both = {TimerRequest(1, &past),
                                 Request(KEVENT_TIMER, 1, KEVENT_MASK_EMPTY)};
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_MODIFY, 2, both.data()), 0);
  EXPECT_FALSE(Readable(fd_));
  usleep(5000);  // the period has expired
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));

  ASSERT_EQ(Add(fd_, TimerRequest(2, &past)), 0);
  constexpr Nanos kPatience = 20 * kMillisecond;
  const Nanos before = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Take(fd_, 2, 8, kPatience).size(), 1);
  EXPECT_GE(Now(CLOCK_MONOTONIC) - before, kPatience);

  // Nothing is lost.
  for (const uint64_t id : {uint64_t{1}, period}) {
    EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, Request(KEVENT_TIMER, id, KEVENT_TIMER_FIRED)), 0);
    EXPECT_TRUE(Readable(fd_));
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].id.raw_u64, id);
  }
}

TEST_F(Timers, BadSpecifications) {
  const kevent_timer_spec clock = {10, 0, Setting(kSecond)};
  const kevent_timer_spec flags = {CLOCK_MONOTONIC, 2, Setting(kSecond)};
  const kevent_timer_spec value = {CLOCK_MONOTONIC, 0, {{0, 0}, {0, kSecond}}};
  const kevent_timer_spec good = {CLOCK_MONOTONIC, 0, Setting(kSecond)};
  const kevent_timer_spec other = {CLOCK_REALTIME, 0, Setting(kSecond)};
  EXPECT_EQ(Add(fd_, TimerRequest(1, &clock)), -EINVAL);
  EXPECT_EQ(Add(fd_, TimerRequest(1, &flags)), -EINVAL);
  EXPECT_EQ(Add(fd_, TimerRequest(1, &value)), -EINVAL);
  EXPECT_EQ(Add(fd_, TimerRequest(1, nullptr)), -EFAULT);
  EXPECT_EQ(Add(fd_, Request(KEVENT_TIMER, 0, KEVENT_TIMER_FIRED)), -EINVAL);
  EXPECT_EQ(Add(fd_, Request(KEVENT_TIMER, Period(1, 1'000'000'000), KEVENT_TIMER_FIRED)), -EINVAL);
  EXPECT_EQ(Add(fd_, Request(KEVENT_TIMER, Period(1, 0), 4)), -EINVAL);
  EXPECT_EQ(Add(fd_, TimerRequest(1, &good)), 0);
  EXPECT_EQ(Add(fd_, TimerRequest(1, &good)), -EEXIST);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &value)), -EINVAL);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(1, &other)), -EINVAL);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, TimerRequest(1, &good)), 0);
}

// ---- Clocks of CPU time ------------------------------------------------------------

class CpuClocks : public Timers {
 protected:
  static constexpr clockid_t kCallingThread = ~0 * 8 + 6;
  static clockid_t Of(pthread_t thread) {
    clockid_t clock;
    EXPECT_EQ(pthread_getcpuclockid(thread, &clock), 0);
    return clock;
  }
  static clockid_t OfProcess(pid_t process) {
    clockid_t clock;
    EXPECT_EQ(clock_getcpuclockid(process, &clock), 0);
    return clock;
  }
  int Set(unsigned command, clockid_t clock, uint64_t key = 1, Nanos value = kHour) const {
    const kevent_timer_spec spec = {clock, 0, Setting(value)};
    const ukevent request = TimerRequest(key, &spec);
    return command == KEVENT_CTL_ADD ? Add(fd_, request) : Control(fd_, command, request);
  }
};

TEST_F(CpuClocks, AreTheSameByAnyName) {
  const std::vector<std::vector<clockid_t>> names = {
      {CLOCK_PROCESS_CPUTIME_ID, OfProcess(0), OfProcess(getpid())},
      {CLOCK_THREAD_CPUTIME_ID, Of(pthread_self()), kCallingThread},
      {CLOCK_MONOTONIC},
  };
  uint64_t key = 1;
  for (const auto& registered : names) {
    for (const clockid_t name : registered) {
      ++key;
      ASSERT_EQ(Set(KEVENT_CTL_ADD, name, key), 0) << name;
      for (const auto& other : names) {
        for (const clockid_t other_name : other) {
          EXPECT_EQ(Set(KEVENT_CTL_MODIFY, other_name, key), &other == &registered ? 0 : -EINVAL)
              << name << " by " << other_name;
        }
      }
    }
  }
}

TEST_F(CpuClocks, OfTheCallingThreadAreThoseOfTheThreadThatCalls) {
  const clockid_t first = Of(pthread_self());
  ASSERT_EQ(Set(KEVENT_CTL_ADD, CLOCK_THREAD_CPUTIME_ID), 0);
  Thread([&] {
    EXPECT_EQ(Set(KEVENT_CTL_MODIFY, CLOCK_THREAD_CPUTIME_ID), -EINVAL);
    EXPECT_EQ(Set(KEVENT_CTL_MODIFY, kCallingThread), -EINVAL);
    EXPECT_EQ(Set(KEVENT_CTL_MODIFY, Of(pthread_self())), -EINVAL);
    // On the clock of the thread that registered it, which has long run more than that.
    EXPECT_EQ(Set(KEVENT_CTL_MODIFY, first, 1, 1), 0);
  }).Join();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

TEST_F(CpuClocks, OfWhatHasEndedAreNotFound) {
  clockid_t of_thread;
  Thread([&] {
    of_thread = Of(pthread_self());
    EXPECT_EQ(Set(KEVENT_CTL_ADD, CLOCK_THREAD_CPUTIME_ID), 0);
  }).Join();
  // The kernel has the thread for a moment after pthread_join, which waits for no more
  // than that its stack is not in use.
  timespec now;
  while (clock_gettime(of_thread, &now) == 0) sched_yield();
  EXPECT_EQ(Set(KEVENT_CTL_MODIFY, of_thread), -ESRCH);
  EXPECT_EQ(Set(KEVENT_CTL_MODIFY, CLOCK_THREAD_CPUTIME_ID), -EINVAL);
  EXPECT_EQ(Set(KEVENT_CTL_ADD, of_thread, 2), -ESRCH);
  struct sigevent notification;
  kevent_sigevent(&notification, fd_, nullptr);
  timer_t timer;
  EXPECT_EQ(timer_create(of_thread, &notification, &timer), -1);
  EXPECT_EQ(errno, EINVAL);  // as the kernel has it

  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  const clockid_t of_process = OfProcess(child);
  EXPECT_EQ(Set(KEVENT_CTL_ADD, of_process, 3), 0);
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(Set(KEVENT_CTL_MODIFY, of_process, 3), -ESRCH);
  EXPECT_EQ(Set(KEVENT_CTL_ADD, of_process, 4), -ESRCH);
}

// Due, and made ready besides, with room for both: it goes once, and is gone.
TEST_F(Timers, AOneshotGoesOnceHoweverItBecameReady) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1)};
  for (uint64_t key = 1; key <= 2; ++key) ASSERT_EQ(Add(fd_, TimerRequest(key, &past)), 0);
  ASSERT_EQ(Add(fd_, TimerRequest(3, &past, 0, KEVENT_REQ_ONESHOT)), 0);
  // This one makes room again: it is passed over when it is looked at.
  const ukevent passed_over =
      DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV, KEVENT_REQ_LAST_CHECK);
  ASSERT_EQ(Add(fd_, passed_over), 0);
  ASSERT_TRUE(Inject(fd_, passed_over));
  ASSERT_TRUE(Inject(fd_, TimerRequest(3, &past)));
  size_t of_the_third = 0;
  for (const ukevent& event : Take(fd_, 0, 4)) of_the_third += event.id.raw_u64 == 3 ? 1 : 0;
  EXPECT_EQ(of_the_third, 1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, TimerRequest(3, &past)), -ENOENT);
  close(ends[0]);
  close(ends[1]);
}

// Queue after queue with timers left in it: nothing is used up.
TEST_F(Timers, QueuesThatAreClosedGiveTheirTimersBack) {
  const kevent_timer_spec far = {CLOCK_MONOTONIC, 0, Setting(kHour)};
  for (int i = 0; i < 20'000; ++i) {
    const Queue queue;
    for (uint64_t key = 0; key < 3; ++key) ASSERT_EQ(Add(queue.fd(), TimerRequest(key, &far)), 0);
  }
}

}  // namespace
}  // namespace kevent_test
