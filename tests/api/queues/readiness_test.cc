// SPDX-License-Identifier: MIT
//
// The queue descriptor in poll, select, epoll and an epoll inside another:
// readable when something can be collected, and only then.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include <array>
#include <functional>
#include <memory>
#include <ostream>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// Waits for one descriptor to become readable.
class Poller {
 public:
  virtual ~Poller() = default;
  // Sleeps for ever, if `forever`; whether it is readable.
  virtual bool Wait(bool forever) = 0;
};

class PollPoller : public Poller {
 public:
  explicit PollPoller(int fd) : fd_(fd) {}
  bool Wait(bool forever) override {
    pollfd descriptor = {fd_, POLLIN, 0};
    return poll(&descriptor, 1, forever ? -1 : 0) == 1 && descriptor.revents == POLLIN;
  }

 private:
  const int fd_;
};

class SelectPoller : public Poller {
 public:
  explicit SelectPoller(int fd) : fd_(fd) {}
  bool Wait(bool forever) override {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd_, &readable);
    timeval now = {};
    return select(fd_ + 1, &readable, nullptr, nullptr, forever ? nullptr : &now) == 1 &&
           FD_ISSET(fd_, &readable);
  }

 private:
  const int fd_;
};

class EpollPoller : public Poller {
 public:
  explicit EpollPoller(int fd, uint32_t flags = 0) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event = {EPOLLIN | flags, {.u64 = 4711}};
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0) << std::strerror(errno);
  }
  ~EpollPoller() override { close(epoll_); }
  bool Wait(bool forever) override {
    epoll_event event = {};
    return epoll_wait(epoll_, &event, 1, forever ? -1 : 0) == 1 && event.events == EPOLLIN &&
           event.data.u64 == 4711;
  }
  int fd() const { return epoll_; }

 private:
  const int epoll_;
};

class NestedEpollPoller : public Poller {
 public:
  explicit NestedEpollPoller(int fd) : inner_(fd), outer_(inner_.fd()) {}
  bool Wait(bool forever) override { return outer_.Wait(forever) && inner_.Wait(false); }

 private:
  EpollPoller inner_;
  EpollPoller outer_;
};

struct PollerKind {
  const char* name;
  std::function<std::unique_ptr<Poller>(int)> make;
};

void PrintTo(const PollerKind& kind, std::ostream* out) { *out << kind.name; }

class Readiness : public testing::TestWithParam<PollerKind> {
 protected:
  bool Ready() { return poller_->Wait(false); }
  void Await() { EXPECT_TRUE(poller_->Wait(true)); }
  void CollectAll(size_t expected) { EXPECT_EQ(CollectReady(queue_.fd()).size(), expected); }

  // A timer that is gone may have made the queue readable once in vain, when it
  // was the next to expire; a collection that finds nothing ends that.
  void ExpectNotReadableFor(const char* reason) {
    CollectAll(0);
    EXPECT_FALSE(Ready()) << reason;
  }

  Queue queue_;
  const std::unique_ptr<Poller> poller_ = GetParam().make(queue_.fd());
};

TEST_P(Readiness, NotBeforeATimerHasExpired) {
  EXPECT_FALSE(Ready());
  Timer timer(queue_.fd(), 1);
  EXPECT_FALSE(Ready());
  timer.ArmIn(kHour);
  EXPECT_FALSE(Ready());
}

TEST_P(Readiness, WhenATimerIsArmedInThePast) {
  Timer timer(queue_.fd(), 1);
  timer.Expire();
  EXPECT_TRUE(Ready());
  CollectAll(1);
  EXPECT_FALSE(Ready());
}

TEST_P(Readiness, WhenATimerExpires) {
  Timer timer(queue_.fd(), 1);
  for (int i = 0; i < 10; ++i) {
    const Nanos deadline = Now(CLOCK_MONOTONIC) + kMillisecond;
    timer.ArmAt(deadline);
    Await();
    EXPECT_GE(Now(CLOCK_MONOTONIC), deadline);
    CollectAll(1);
    EXPECT_FALSE(Ready());
  }
}

TEST_P(Readiness, OnEveryClock) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    Timer timer(queue_.fd(), 1, clock);
    timer.ArmIn(kMillisecond);
    Await();
    CollectAll(1);
    timer.ArmAt(Now(clock) + kMillisecond);
    Await();
    CollectAll(1);
    EXPECT_FALSE(Ready());
  }
}

TEST_P(Readiness, OnTheCpuTimeClocks) {
  for (const clockid_t clock : {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID}) {
    Timer timer(queue_.fd(), 1, clock);
    const Nanos deadline = Now(clock) + 2 * kMillisecond;
    timer.ArmAt(deadline);
    while (!Ready()) {
    }
    EXPECT_GE(Now(clock), deadline);
    CollectAll(1);
    EXPECT_FALSE(Ready());
  }
}

TEST_P(Readiness, WhenAnotherThreadArmsInThePastWhileWeSleep) {
  Timer timer(queue_.fd(), 1);
  for (int i = 0; i < 20; ++i) {
    Thread sleeper([this] { Await(); });
    sleeper.AwaitAsleep();
    timer.Expire();
    sleeper.Join();
    CollectAll(1);
    EXPECT_FALSE(Ready());
  }
}

TEST_P(Readiness, WhenAnotherThreadArmsWhileWeSleepForALaterTimer) {
  Timer later(queue_.fd(), 1);
  Timer sooner(queue_.fd(), 2);
  later.ArmIn(kHour);
  CollectAll(0);
  for (int i = 0; i < 20; ++i) {
    Thread sleeper([this] { Await(); });
    sleeper.AwaitAsleep();
    sooner.ArmIn(kMillisecond / 2);
    sleeper.Join();
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{2});
    EXPECT_FALSE(Ready());
  }
}

TEST_P(Readiness, AsLongAsSomethingIsLeft) {
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 5; ++i) {
    timers.emplace_back(queue_.fd(), i);
    timers.back().Expire();
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(Ready());
    EXPECT_EQ(Collect(queue_.fd(), 1, 1).size(), 1u);
  }
  EXPECT_FALSE(Ready());
}

TEST_P(Readiness, NotForACompletionThatWasTakenBack) {
  Timer timer(queue_.fd(), 1);
  timer.Expire();
  timer.Disarm();
  ExpectNotReadableFor("disarmed");
  timer.Expire();
  timer.ArmIn(kHour);
  ExpectNotReadableFor("re-armed");
  timer.Expire();
  timer.Delete();
  ExpectNotReadableFor("deleted");
}

TEST_P(Readiness, AgainForEachPeriod) {
  Timer timer(queue_.fd(), 1);
  timer.ArmIn(kMillisecond, kMillisecond);
  for (int i = 0; i < 10; ++i) {
    Await();
    EXPECT_EQ(Collect(queue_.fd(), 0, 1).size(), 1u);
  }
}

// What the library has from the kernel and has not yet delivered: the kernel has
// told it for the last time.
TEST_P(Readiness, WhileEdgesAreLeftOfABatch) {
  std::vector<std::array<int, 2>> pipes(3);
  for (std::array<int, 2>& ends : pipes) {
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    ASSERT_EQ(Add(queue_.fd(), DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV,
                                                 KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_ET)),
              0);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
  }
  for (size_t i = 0; i < pipes.size(); ++i) {
    Await();
    EXPECT_EQ(Take(queue_.fd(), 0, 1).size(), 1u);
  }
  ExpectNotReadableFor("collected");
  for (const std::array<int, 2>& ends : pipes) {
    close(ends[0]);
    close(ends[1]);
  }
}

TEST_P(Readiness, WhenAddedToThePollerAfterExpiry) {
  Timer timer(queue_.fd(), 1);
  timer.Expire();
  EXPECT_TRUE(GetParam().make(queue_.fd())->Wait(true));
}

template <typename P>
std::unique_ptr<Poller> Make(int fd) {
  return std::make_unique<P>(fd);
}

INSTANTIATE_TEST_SUITE_P(In, Readiness,
                         testing::Values(PollerKind{"poll", Make<PollPoller>},
                                         PollerKind{"select", Make<SelectPoller>},
                                         PollerKind{"epoll", Make<EpollPoller>},
                                         PollerKind{"nested_epoll", Make<NestedEpollPoller>}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace kevent_test
