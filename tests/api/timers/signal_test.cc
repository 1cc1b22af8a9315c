// SPDX-License-Identifier: MIT
//
// Signals that arrive while kevent_get_events sleeps, and the signal mask of
// kevent_pget_events.

#include <atomic>
#include <memory>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

std::atomic<int> handled = 0;

class SignalHandler {
 public:
  explicit SignalHandler(int flags) {
    handled = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, &before_);
  }
  ~SignalHandler() { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_;
};

sigset_t OnlySigusr1() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  return set;
}

sigset_t NoSignals() {
  sigset_t set;
  sigemptyset(&set);
  return set;
}

bool Blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

// Blocks SIGUSR1 in this thread.
class SignalBlocked {
 public:
  SignalBlocked() {
    const sigset_t set = OnlySigusr1();
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~SignalBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// One signal could arrive before the thread sleeps.
void KillUntilItReturns(Sleeper& sleeper) {
  while (!sleeper.returned()) {
    sleeper.thread().Kill(SIGUSR1);
    usleep(200);
  }
}

class Handler : public testing::TestWithParam<int> {};

TEST_P(Handler, EndsASleepWithEintr) {
  SignalHandler handler(GetParam());
  Queue queue;
  Sleeper sleeper(queue.fd(), 1, 1);
  KillUntilItReturns(sleeper);
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EINTR);
  EXPECT_GT(handled, 0);
}

TEST_P(Handler, EndsASleepWithATimeoutWithEintr) {
  SignalHandler handler(GetParam());
  Queue queue;
  Sleeper sleeper(queue.fd(), 1, 1, kHour);
  KillUntilItReturns(sleeper);
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EINTR);
}

TEST_P(Handler, EndsTheSleepOfOneThatIsNotTheFirst) {
  SignalHandler handler(GetParam());
  Queue queue;
  Timer timer(queue.fd(), 1);
  Sleeper first(queue.fd(), 1, 1);
  first.AwaitAsleep();
  Sleeper second(queue.fd(), 1, 1);
  second.AwaitAsleep();
  KillUntilItReturns(second);
  EXPECT_EQ(second.result(), -1);
  EXPECT_EQ(second.error(), EINTR);
  EXPECT_FALSE(first.returned());
  timer.Expire();
  EXPECT_EQ(first.result(), 1);
}

TEST_P(Handler, EndsTheSleepOfTheFirstAndTheOtherIsStillWoken) {
  SignalHandler handler(GetParam());
  Queue queue;
  Timer timer(queue.fd(), 1);
  Sleeper first(queue.fd(), 1, 1);
  first.AwaitAsleep();
  Sleeper second(queue.fd(), 1, 1);
  second.AwaitAsleep();
  KillUntilItReturns(first);
  EXPECT_EQ(first.error(), EINTR);
  EXPECT_FALSE(second.returned());
  timer.Expire();
  EXPECT_EQ(second.result(), 1);
}

TEST_P(Handler, ReturnsTheEventsThatAreReadyInsteadOfEintr) {
  SignalHandler handler(GetParam());
  Queue queue;
  Timer timer(queue.fd(), 5);
  timer.Expire();
  Sleeper sleeper(queue.fd(), 2, 4);
  sleeper.AwaitAsleep();
  KillUntilItReturns(sleeper);
  EXPECT_EQ(sleeper.result(), 1);
  EXPECT_EQ(Cookie(sleeper.event(0)), 5u);
}

INSTANTIATE_TEST_SUITE_P(With, Handler, testing::Values(0, SA_RESTART), [](const auto& test) {
  return test.param == 0 ? "no_flags" : "SA_RESTART";
});

// A signal that is ignored interrupts nothing.
TEST(Signal, IgnoredIsNotNoticed) {
  struct sigaction ignore = {};
  struct sigaction before;
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGUSR1, &ignore, &before);
  Queue queue;
  Timer timer(queue.fd(), 5);
  Sleeper sleeper(queue.fd(), 1, 1);
  sleeper.AwaitAsleep();
  for (int i = 0; i < 10; ++i) sleeper.thread().Kill(SIGUSR1);
  EXPECT_FALSE(sleeper.returned());
  timer.Expire();
  EXPECT_EQ(sleeper.result(), 1);
  sigaction(SIGUSR1, &before, nullptr);
}

// ---- kevent_pget_events ----------------------------------------------------

// As ppoll(2): the signal is delivered inside the call, and nowhere else.
TEST(SignalMask, LetsAPendingSignalIn) {
  SignalHandler handler(0);
  SignalBlocked blocked;
  Queue queue;
  raise(SIGUSR1);
  EXPECT_EQ(handled, 0);
  const sigset_t none = NoSignals();
  ukevent event;
  EXPECT_EQ(kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &none), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(Blocked(SIGUSR1));
  raise(SIGUSR1);
  EXPECT_EQ(handled, 1) << "the mask was not put back";
}

TEST(SignalMask, LetsASignalInWhileItSleeps) {
  SignalHandler handler(0);
  SignalBlocked blocked;  // inherited by the thread
  Queue queue;
  int result = 0;
  int error = 0;
  bool still_blocked = false;
  Thread sleeper([&] {
    const sigset_t none = NoSignals();
    ukevent event;
    result = kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &none);
    error = errno;
    still_blocked = Blocked(SIGUSR1);
  });
  sleeper.AwaitAsleep();
  sleeper.Kill(SIGUSR1);  // blocked outside: it can't be lost
  sleeper.Join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EINTR);
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(still_blocked);
}

TEST(SignalMask, LetsASignalInBehindAnotherSleeper) {
  SignalHandler handler(0);
  SignalBlocked blocked;
  Queue queue;
  Timer timer(queue.fd(), 1);
  Sleeper first(queue.fd(), 1, 1);
  first.AwaitAsleep();
  int result = 0;
  int error = 0;
  Thread second([&] {
    const sigset_t none = NoSignals();
    ukevent event;
    result = kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &none);
    error = errno;
  });
  second.AwaitAsleep();
  second.Kill(SIGUSR1);
  second.Join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EINTR);
  EXPECT_EQ(handled, 1);
  timer.Expire();
  EXPECT_EQ(first.result(), 1);
}

TEST(SignalMask, KeepsASignalOut) {
  SignalHandler handler(0);
  Queue queue;
  Timer timer(queue.fd(), 6);
  int result = 0;
  ukevent event;
  Thread sleeper([&] {
    const sigset_t blocked = OnlySigusr1();
    result = kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &blocked);
  });
  sleeper.AwaitAsleep();
  sleeper.Kill(SIGUSR1);
  timer.Expire();
  sleeper.Join();
  EXPECT_EQ(result, 1);
  EXPECT_EQ(Cookie(event), 6u);
  EXPECT_EQ(handled, 1) << "delivered when the call is over";
}

TEST(SignalMask, ReadyEventsAreReturnedThoughASignalIsPending) {
  SignalHandler handler(0);
  SignalBlocked blocked;
  Queue queue;
  Timer timer(queue.fd(), 6);
  timer.Expire();
  raise(SIGUSR1);
  const sigset_t none = NoSignals();
  ukevent event;
  EXPECT_EQ(kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &none), 1);
  EXPECT_TRUE(Blocked(SIGUSR1));
}

TEST(SignalMask, FewerReadyEventsThanWantedAreReturnedWhenASignalIsPending) {
  SignalHandler handler(0);
  SignalBlocked blocked;
  Queue queue;
  Timer timer(queue.fd(), 6);
  timer.Expire();
  raise(SIGUSR1);
  const sigset_t none = NoSignals();
  ukevent events[4];
  EXPECT_EQ(kevent_pget_events(queue.fd(), 2, 4, nullptr, events, 0, &none), 1);
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(Blocked(SIGUSR1));
}

TEST(SignalMask, NullLeavesTheMaskAlone) {
  SignalHandler handler(0);
  SignalBlocked blocked;
  Queue queue;
  raise(SIGUSR1);
  const timespec timeout = ToTimespec(2 * kMillisecond);
  ukevent event;
  EXPECT_EQ(kevent_pget_events(queue.fd(), 1, 1, &timeout, &event, 0, nullptr), 0);
  EXPECT_EQ(handled, 0);
}

TEST(SignalMask, TimesOutAsWithoutOne) {
  Queue queue;
  const sigset_t none = NoSignals();
  const timespec timeout = ToTimespec(3 * kMillisecond);
  const Nanos start = Now(CLOCK_MONOTONIC);
  ukevent event;
  EXPECT_EQ(kevent_pget_events(queue.fd(), 1, 1, &timeout, &event, 0, &none), 0);
  EXPECT_GE(Now(CLOCK_MONOTONIC), start + 3 * kMillisecond);
}

// Followers with masks sleep otherwise than those without.
TEST(SignalMask, SleepersWithMasksAreWokenForTheirEvents) {
  constexpr size_t kSleepers = 4;
  Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < kSleepers; ++i) timers.emplace_back(queue.fd(), i);
  std::atomic<int> seen[kSleepers] = {};
  std::vector<std::unique_ptr<Thread>> sleepers;
  for (size_t i = 0; i < kSleepers; ++i) {
    sleepers.push_back(std::make_unique<Thread>([&] {
      const sigset_t mask = OnlySigusr1();
      ukevent event;
      if (kevent_pget_events(queue.fd(), 1, 1, nullptr, &event, 0, &mask) == 1) {
        ++seen[Cookie(event)];
      }
    }));
    sleepers.back()->AwaitAsleep();
  }
  for (const Timer& timer : timers) timer.ArmIn(kMillisecond);
  for (const auto& sleeper : sleepers) sleeper->Join();
  for (const auto& count : seen) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace kevent_test
