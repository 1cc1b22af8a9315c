// SPDX-License-Identifier: MIT
//
// Fork: at any instruction of a call.  The descriptor of a
// queue that the parent has made and not begun to close is a fresh, empty,
// working queue in the child, and the parent notices nothing; one that it was
// making or closing is that, or none.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/kernel_view.h"

namespace kevent_test {
namespace {

constexpr uintptr_t kDue = 1;
constexpr uintptr_t kFar = 2;
constexpr uintptr_t kChilds = 3;

timer_t Create(int queue, uintptr_t cookie, clockid_t clock = CLOCK_MONOTONIC) {
  sigevent request;
  kevent_sigevent(&request, queue, reinterpret_cast<void*>(cookie));
  timer_t timer = {};
  return timer_create(clock, &request, &timer) == 0 ? timer : timer_t();
}

int SetAt(timer_t timer, Nanos moment) {
  const itimerspec setting = Setting(moment);
  return timer_settime(timer, TIMER_ABSTIME, &setting, nullptr);
}

// The queue works, in a child as well; one timer is the only one.
void CheckWorks(int queue) {
  std::array<ukevent, 8> events;
  const timer_t timer = Create(queue, kChilds);
  CHILD_CHECK(timer != timer_t());
  CHILD_CHECK(!Readable(queue));
  CHILD_CHECK(SetAt(timer, 1) == 0);
  CHILD_CHECK(Readable(queue));
  CHILD_CHECK(kevent_get_events(queue, 1, 8, nullptr, events.data(), 0) == 1);
  CHILD_CHECK(Cookie(events[0]) == kChilds);
  CHILD_CHECK(SetAt(timer, Now(CLOCK_MONOTONIC) + 50 * kMicrosecond) == 0);
  CHILD_CHECK(kevent_get_events(queue, 1, 8, nullptr, events.data(), 0) == 1);
  CHILD_CHECK(!Readable(queue));
  CHILD_CHECK(timer_delete(timer) == 0);
}

// Whether the descriptor is a queue, and then it is a fresh one.
bool IsFreshQueue(int queue) {
  std::array<ukevent, 8> events;
  const int count = kevent_get_events(queue, 0, 8, nullptr, events.data(), 0);
  CHILD_CHECK(count == 0 || (count == -1 && (errno == EBADF || errno == EINVAL)));
  if (count == 0) CheckWorks(queue);
  return count == 0;
}

// What the parent has while it forks: a timer that is due and one that is not.
class Parent {
 public:
  Parent() {
    SetAt(far_, moment_);
    SetAt(due_, 1);
  }
  ~Parent() {
    for (const timer_t timer : {due_, far_}) EXPECT_EQ(timer_delete(timer), 0);
  }

  const OpenedQueue& queue() const { return queue_; }
  timer_t due() const { return due_; }

  // In a child: the queue is a fresh one, the timers are not its own, and what
  // was open inside is closed, but for numbers of which the parent had just
  // begun or was about to end to keep account.
  void CheckChild(const std::vector<int>& unfinished) const {
    alarm(30);
    CHILD_CHECK(IsFreshQueue(queue_.fd()));
    itimerspec value;
    CHILD_CHECK(timer_gettime(far_, &value) == -1 && errno == EINVAL);
    CHILD_CHECK(SetAt(far_, 1) == -1 && errno == EINVAL);
    CHILD_CHECK(timer_delete(far_) == -1 && errno == EINVAL);
    for (const int descriptor : unfinished) {
      IsFreshQueue(descriptor);
      close(descriptor);
    }
    CHILD_CHECK(close(queue_.fd()) == 0);
    std::set<int> left = OpenDescriptors();
    for (const int descriptor : before_) CHILD_CHECK(left.erase(descriptor) == 1);
    CHILD_CHECK(left.size() <= (unfinished.empty() ? 0 : 2));
  }

  void ExpectUndisturbed(bool collected_before) const {
    EXPECT_EQ(Readable(queue_.fd()), !collected_before);
    EXPECT_EQ(CollectReady(queue_.fd()).size(), collected_before ? 0 : 1);
    EXPECT_FALSE(Readable(queue_.fd()));
    EXPECT_TRUE(ExpiresBy(queue_.timerfd(), moment_));
    SetAt(due_, 1);
    EXPECT_TRUE(Readable(queue_.fd()));
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{kDue});
  }

 private:
  const std::set<int> before_ = OpenDescriptors();
  const Nanos moment_ = Now(CLOCK_MONOTONIC) + kHour;
  const OpenedQueue queue_;
  const timer_t due_ = Create(queue_.fd(), kDue);
  const timer_t far_ = Create(queue_.fd(), kFar);
};

class ForkingTheFirstTime : public SteppedTest {};

// In a process that has not used the library before, one for each run.
TEST_F(ForkingTheFirstTime, DuringTheMakingOfAQueue) {
  for (Stepper stepper(Intruder::kSameThread); stepper.Next();) {
    ExpectChild([&stepper] {
      const int number = dup(STDERR_FILENO);
      close(number);
      int queue = -1;
      int status = 0;
      stepper.Run([&] { queue = kevent_init(nullptr, 0, 0); },
                  [&] {
                    const pid_t child = fork();
                    if (child == 0) {
                      IsFreshQueue(number);
                      const int own = kevent_init(nullptr, 0, 0);
                      CHILD_CHECK(own >= 0);
                      CheckWorks(own);
                      _exit(0);
                    }
                    status = ExitStatus(child);
                  });
      CHILD_CHECK(status == 0);
      CHILD_CHECK(queue == number);
      CheckWorks(queue);
    });
  }
}

// fork, and _Fork, which runs no handlers in the child.
class Forking : public SteppedTest, public testing::WithParamInterface<pid_t (*)()> {};
INSTANTIATE_TEST_SUITE_P(By, Forking, testing::Values(&fork, &_Fork), [](const auto& function) {
  return function.index == 0 ? "fork" : "_Fork";
});

// Forks at each instruction of `operation`; the numbers that `unfinished` gives
// before it are those that the parent is making or closing.
template <typename Prepare, typename Operation>
void ForkDuring(pid_t (*fork_function)(), Prepare prepare, Operation operation) {
  for (Stepper stepper(Intruder::kSameThread); stepper.Next();) {
    const Parent parent;
    const std::vector<int> unfinished = prepare(parent);
    int status = 0;
    bool collected = false;
    stepper.Run([&] { collected = operation(parent, unfinished); },
                [&] {
                  const pid_t child = fork_function();
                  if (child == 0) {
                    parent.CheckChild(unfinished);
                    _exit(0);
                  }
                  status = ExitStatus(child);
                });
    EXPECT_EQ(status, 0);
    parent.ExpectUndisturbed(collected);
  }
}

std::vector<int> Nothing(const Parent&) { return {}; }

// The number that the next descriptor has.
std::vector<int> NextNumber(const Parent&) {
  const int number = dup(STDERR_FILENO);
  close(number);
  return {number};
}

TEST_P(Forking, DuringASetting) {
  ForkDuring(GetParam(), Nothing, [](const Parent& parent, auto&) {
    EXPECT_EQ(SetAt(parent.due(), Now(CLOCK_MONOTONIC) - kSecond), 0);
    return false;
  });
}

TEST_P(Forking, DuringASettingThatIsAnnounced) {
  ForkDuring(
      GetParam(),
      [](const Parent& parent) {
        CollectReady(parent.queue().fd());
        return std::vector<int>();
      },
      [](const Parent& parent, auto&) {
        EXPECT_EQ(SetAt(parent.due(), 1), 0);
        return false;
      });
}

TEST_P(Forking, DuringACollection) {
  ForkDuring(GetParam(), Nothing, [](const Parent& parent, auto&) {
    ukevent event;
    EXPECT_EQ(kevent_get_events(parent.queue().fd(), 0, 1, nullptr, &event, 0), 1);
    return true;
  });
}

TEST_P(Forking, DuringTheMakingOfATimer) {
  // With a new clock, whose timerfd is not yet accounted for.
  ForkDuring(
      GetParam(), [](const Parent&) { return std::vector<int>{-1}; },
      [](const Parent& parent, auto&) {
        const timer_t timer = Create(parent.queue().fd(), 0, CLOCK_BOOTTIME);
        EXPECT_EQ(timer_delete(timer), 0);
        return false;
      });
}

TEST_P(Forking, DuringTheMakingOfAQueue) {
  ForkDuring(GetParam(), NextNumber, [](const Parent&, const std::vector<int>& numbers) {
    EXPECT_EQ(kevent_init(nullptr, 0, 0), numbers[0]);
    EXPECT_EQ(close(numbers[0]), 0);
    return false;
  });
}

TEST_P(Forking, DuringTheClosingOfAQueue) {
  ForkDuring(
      GetParam(), [](const Parent&) { return std::vector<int>{kevent_init(nullptr, 0, 0)}; },
      [](const Parent&, const std::vector<int>& numbers) {
        EXPECT_EQ(close(numbers[0]), 0);
        return false;
      });
}

TEST_P(Forking, DuringADuplication) {
  ForkDuring(GetParam(), NextNumber, [](const Parent& parent, const std::vector<int>& numbers) {
    EXPECT_EQ(dup(parent.queue().fd()), numbers[0]);
    EXPECT_EQ(close(numbers[0]), 0);
    return false;
  });
}

[[noreturn]] void ExitIfNoTimerIsSet() {
  const int queue = kevent_init(nullptr, 0, 0);
  for (int i = 0; i < 200; ++i) {
    sigevent notification;
    kevent_sigevent(&notification, queue, nullptr);
    timer_t timer;
    itimerspec value;
    if (timer_create(CLOCK_MONOTONIC, &notification, &timer) != 0) _exit(1);
    if (timer_gettime(timer, &value) != 0 || ToNanos(value.it_value) != 0) _exit(2);
  }
  _exit(0);
}

// By a signal handler, which returns in the child as well: fork and timer_settime
// are both async-signal-safe, so there the call ends as if the timer was gone.
TEST_P(Forking, DuringASettingThatTheChildEnds) {
  // A timer that was never set has a word as the child has: wiped.
  for (const auto& [queue_is_open, was_set] :
       {std::pair(true, true), std::pair(false, true), std::pair(true, false)}) {
    for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
      Queue queue;
      const Timer timer(queue.fd(), kDue);
      if (was_set) timer.ArmIn(kHour);
      if (!queue_is_open) queue.Close();
      const itimerspec value = Setting(kSecond);
      pid_t child = -1;
      int status = 0;
      stepper.Run([&] { timer_settime(timer.id(), 0, &value, nullptr); },
                  [&] {
                    child = GetParam()();
                    if (child != 0) status = ExitStatus(child);
                  });
      if (child == 0) ExitIfNoTimerIsSet();
      EXPECT_EQ(status, 0);
      EXPECT_LE(ToNanos(timer.Get().it_value), kSecond);
    }
  }
}

// The number moves.
TEST_P(Forking, DuringADup2OntoANumberOfTheQueues) {
  constexpr std::array kNumbers = {&OpenedQueue::epoll, &OpenedQueue::timerfd,
                                   &OpenedQueue::always_ready};
  for (const auto number : kNumbers) {
    for (Stepper stepper(Intruder::kSameThread); stepper.Next();) {
      const int stranger = eventfd(0, EFD_CLOEXEC);
      const OpenedQueue queue;
      const Timer timer(queue.fd(), kDue);
      timer.Expire();
      int status = 0;
      stepper.Run([&] { EXPECT_EQ(dup2(stranger, (queue.*number)()), (queue.*number)()); },
                  [&] {
                    const pid_t child = GetParam()();
                    if (child == 0) {
                      CHILD_CHECK(IsFreshQueue(queue.fd()));
                      _exit(0);
                    }
                    status = ExitStatus(child);
                  });
      EXPECT_EQ(status, 0);
      close((queue.*number)());
      close(stranger);
      EXPECT_TRUE(Readable(queue.fd()));
      EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
      EXPECT_FALSE(Readable(queue.fd()));
    }
  }
}

// A child without handlers is noticed at its first call, whichever that is.
TEST(ForkingWithoutHandlers, IsNoticedAtTheFirstCall) {
  using Call = void (*)(const Queue&, const Timer&);
  const Call calls[] = {
      [](const Queue& queue, const Timer&) { CHILD_CHECK(IsFreshQueue(queue.fd())); },
      [](const Queue& queue, const Timer&) { CHILD_CHECK(Create(queue.fd(), 0) != timer_t()); },
      [](const Queue&, const Timer& timer) {
        CHILD_CHECK(SetAt(timer.id(), 1) == -1 && errno == EINVAL);
      },
      [](const Queue&, const Timer& timer) {
        itimerspec value;
        CHILD_CHECK(timer_gettime(timer.id(), &value) == -1 && errno == EINVAL);
      },
      [](const Queue&, const Timer& timer) {
        CHILD_CHECK(timer_getoverrun(timer.id()) == -1 && errno == EINVAL);
      },
      [](const Queue&, const Timer& timer) {
        CHILD_CHECK(timer_delete(timer.id()) == -1 && errno == EINVAL);
      },
      [](const Queue&, const Timer&) {
        const int other = kevent_init(nullptr, 0, 0);
        CHILD_CHECK(other >= 0);
        CheckWorks(other);
      },
      [](const Queue& queue, const Timer&) {
        const int copy = dup(queue.fd());
        CHILD_CHECK(copy >= 0 && close(queue.fd()) == 0);
        CHILD_CHECK(dup2(copy, queue.fd()) == queue.fd());
      },
      [](const Queue& queue, const Timer&) {
        CHILD_CHECK(fcntl(queue.fd(), F_DUPFD_CLOEXEC, 100) == 100);
      },
      [](const Queue& queue, const Timer&) { CHILD_CHECK(dup2(queue.fd(), 100) == 100); },
      [](const Queue& queue, const Timer&) {
        CHILD_CHECK(dup3(queue.fd(), 100, O_CLOEXEC) == 100);
      },
      [](const Queue&, const Timer&) { CHILD_CHECK(close_range(100, ~0U, 0) == 0); },
      [](const Queue&, const Timer&) { closefrom(100); },
  };
  for (const Call call : calls) {
    const Queue queue;
    const Timer timer(queue.fd(), kDue);
    timer.Expire();
    ExpectChild(
        [&] {
          call(queue, timer);
          CHILD_CHECK(IsFreshQueue(queue.fd()));
        },
        &_Fork);
    EXPECT_TRUE(Readable(queue.fd()));
    EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
  }
}

// The number of a queue that was closed by a system call that the library does
// not see is another's by now.
TEST(ForkingBesideStrangers, LeavesThemTheirNumbers) {
  Queue queue;
  const int number = queue.Release();
  syscall(SYS_close, number);
  const int stranger = eventfd(0, EFD_CLOEXEC);
  EXPECT_EQ(stranger, number);
  ExpectChild([stranger] { CHILD_CHECK(KindOf(stranger) == "[eventfd]"); });
  EXPECT_EQ(close(stranger), 0);
}

TEST(ForkingWithoutHandlers, IsNoticedAtTheFirstClose) {
  const std::set<int> before = OpenDescriptors();
  const Queue queue;
  ExpectChild(
      [&] {
        CHILD_CHECK(close(queue.fd()) == 0);
        CHILD_CHECK(OpenDescriptors() == before);
      },
      &_Fork);
  const Timer timer(queue.fd(), kDue);
  timer.Expire();
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{kDue});
}

}  // namespace
}  // namespace kevent_test
