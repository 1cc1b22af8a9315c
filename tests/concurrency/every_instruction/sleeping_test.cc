// SPDX-License-Identifier: MIT
//
// Sleeping: one thread leads, and whoever stops leading, for
// whatever reason, is succeeded; a thread whose min_nr is not reached claims
// nothing and leaves the descriptor readable.  Where the rule is broken a
// thread sleeps for ever, and the watchdog ends the test.

#include <signal.h>

#include <array>
#include <atomic>
#include <optional>

#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

// How a thread that does not lead sleeps: on a futex, or, as a futex can't
// change the signal mask, on a timerfd.
enum class Follower { kOnFutex, kOnTimerfd };

// A thread in one call of kevent_get_events or kevent_pget_events.
class Collector {
 public:
  Collector(int queue, unsigned min, Follower follower = Follower::kOnFutex,
            std::optional<Nanos> timeout = std::nullopt)
      : thread_([this, queue, min, follower, timeout] {
          const timespec limit = ToTimespec(timeout.value_or(0));
          const timespec* until = timeout ? &limit : nullptr;
          sigset_t mask;
          sigemptyset(&mask);
          result_ = follower == Follower::kOnFutex
                        ? kevent_get_events(queue, min, 8, until, events_.data(), 0)
                        : kevent_pget_events(queue, min, 8, until, events_.data(), 0, &mask);
          error_ = errno;
        }) {
    thread_.AwaitAsleep();
  }

  Thread& thread() { return thread_; }
  bool returned() const { return thread_.finished(); }
  int result() {
    thread_.Join();
    return result_;
  }
  int error() {
    thread_.Join();
    return error_;
  }
  uintptr_t cookie(size_t index) {
    thread_.Join();
    return Cookie(events_[index]);
  }

 private:
  std::array<ukevent, 8> events_;
  int result_ = 0;
  int error_ = 0;
  Thread thread_;  // last: it uses the others
};

class Sleeping : public testing::TestWithParam<Follower> {
 protected:
  Watchdog watchdog_;
  Queue queue_;
  Timer one_{queue_.fd(), 1};
  Timer two_{queue_.fd(), 2};
  Timer three_{queue_.fd(), 3};
};

INSTANTIATE_TEST_SUITE_P(Followers, Sleeping,
                         testing::Values(Follower::kOnFutex, Follower::kOnTimerfd),
                         [](const auto& kind) {
                           return kind.param == Follower::kOnFutex ? "OnFutex" : "OnTimerfd";
                         });

TEST_P(Sleeping, LeaderThatReturnsIsSucceeded) {
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  Collector last(queue_.fd(), 1, GetParam());
  one_.Expire();
  EXPECT_EQ(leader.cookie(0), 1u);
  EXPECT_FALSE(next.returned() || last.returned());
  two_.Expire();
  EXPECT_EQ(next.cookie(0), 2u);
  EXPECT_FALSE(last.returned());
  three_.Expire();
  EXPECT_EQ(last.cookie(0), 3u);
}

// What has rung for it does not go on ringing.
TEST_P(Sleeping, SuccessorSleeps) {
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  one_.Expire();
  EXPECT_EQ(leader.result(), 1);
  next.thread().AwaitQuiet();
  two_.Expire();
  EXPECT_EQ(next.cookie(0), 2u);
}

TEST_P(Sleeping, LeaderWhoseTimeIsOverIsSucceeded) {
  Collector leader(queue_.fd(), 1, Follower::kOnFutex, 100 * kMillisecond);
  Collector next(queue_.fd(), 1, GetParam());
  EXPECT_EQ(leader.result(), 0);
  one_.Expire();
  EXPECT_EQ(next.result(), 1);
}

TEST_P(Sleeping, LeaderThatHandlesASignalIsSucceeded) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  leader.thread().Kill(SIGUSR1);
  EXPECT_EQ(leader.result(), -1);
  EXPECT_EQ(leader.error(), EINTR);
  one_.Expire();
  EXPECT_EQ(next.result(), 1);
}

TEST_P(Sleeping, LeaderThatIsCancelledIsSucceeded) {
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  leader.thread().Cancel();
  EXPECT_TRUE(leader.thread().Join());
  one_.Expire();
  EXPECT_EQ(next.result(), 1);
}

TEST_P(Sleeping, FollowerThatIsCancelledIsNoSuccessor) {
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  Collector last(queue_.fd(), 1, GetParam());
  next.thread().Cancel();
  EXPECT_TRUE(next.thread().Join());
  one_.Expire();
  EXPECT_EQ(leader.result(), 1);
  two_.Expire();
  EXPECT_EQ(last.result(), 1);
}

TEST_P(Sleeping, AllReturnAtClose) {
  Collector leader(queue_.fd(), 1);
  Collector next(queue_.fd(), 1, GetParam());
  Collector last(queue_.fd(), 2, GetParam());
  queue_.Close();
  for (Collector* sleeper : {&leader, &next, &last}) {
    EXPECT_EQ(sleeper->result(), -1);
    EXPECT_EQ(sleeper->error(), EBADF);
  }
}

TEST_P(Sleeping, LeaderWithTooFewClaimsNothingAndLeavesTheDescriptorReadable) {
  Collector leader(queue_.fd(), 3, GetParam());
  one_.Expire();
  two_.Expire();
  leader.thread().AwaitAsleep();
  EXPECT_TRUE(Readable(queue_.fd()));
  EXPECT_EQ(CollectReady(queue_.fd()).size(), 2u);
  EXPECT_FALSE(leader.returned());
  EXPECT_FALSE(Readable(queue_.fd()));
  one_.Expire();
  two_.Expire();
  three_.Expire();
  EXPECT_EQ(leader.result(), 3);
}

TEST_P(Sleeping, LeaderWithTooFewHandsOverToOneThatIsContent) {
  Collector leader(queue_.fd(), 2);
  Collector content(queue_.fd(), 1, GetParam());
  one_.Expire();
  EXPECT_EQ(content.result(), 1);
  EXPECT_FALSE(leader.returned());
  two_.Expire();
  three_.Expire();
  EXPECT_EQ(leader.result(), 2);
}

TEST_P(Sleeping, LeaderWithTooFewWakesForTheNext) {
  for (const bool already_due : {false, true}) {
    Collector leader(queue_.fd(), 2, GetParam());
    one_.Expire();
    leader.thread().AwaitAsleep();
    if (already_due) {
      two_.Expire();
    } else {
      two_.ArmIn(kMillisecond);
    }
    EXPECT_EQ(leader.result(), 2);
  }
}

// The ways of leaving, of a leader that holds what is due.
TEST_P(Sleeping, LeaderWithTooFewIsSucceeded) {
  for (const bool cancelled : {false, true}) {
    one_.Expire();
    Collector leader(queue_.fd(), 2, Follower::kOnFutex,
                     cancelled ? std::nullopt : std::optional(100 * kMillisecond));
    Collector next(queue_.fd(), 3, GetParam());
    if (cancelled) {
      leader.thread().Cancel();
      EXPECT_TRUE(leader.thread().Join());
    } else {
      EXPECT_EQ(leader.result(), 1);
      one_.Expire();
    }
    two_.Expire();
    three_.Expire();
    EXPECT_EQ(next.result(), 3);
  }
}

}  // namespace
}  // namespace kevent_test
