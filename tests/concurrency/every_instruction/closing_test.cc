// SPDX-License-Identifier: MIT
//
// Closing against arming: a queue that is closed, at any
// instruction of a call that uses it, leaves nothing open, and the call changes
// no stranger that has come to have a number of the queue's.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <fstream>
#include <iterator>
#include <optional>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/kernel_view.h"

namespace kevent_test {
namespace {

// Descriptors of a program that resemble those of a queue as closely as can be,
// to have the numbers of one that is being closed.
class Strangers {
 public:
  Strangers()
      : own_{epoll_create1(EPOLL_CLOEXEC), timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
             eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
    const itimerspec setting = Setting(far_);
    EXPECT_EQ(timerfd_settime(own_[1], TFD_TIMER_ABSTIME, &setting, nullptr), 0);
  }
  ~Strangers() {
    for (const int descriptor : own_) close(descriptor);
    for (const int descriptor : placed_) close(descriptor);
  }
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;

  // Takes those of the queue's numbers that are free.
  void TakeNumbersOf(const OpenedQueue& queue) {
    Place(own_[0], queue.epoll());
    for (const int number :
         {Place(own_[1], queue.timerfd()), Place(own_[2], queue.always_ready())}) {
      epoll_event nothing = {};
      if (number >= 0) {
        EXPECT_EQ(epoll_ctl(own_[0], EPOLL_CTL_ADD, number, &nothing), 0);
      }
    }
    members_ = Members();
  }
  size_t placed() const { return placed_.size(); }

  void ExpectUnchanged() const {
    EXPECT_FALSE(ExpiresBy(own_[1], far_ - kSecond));
    EXPECT_TRUE(ExpiresBy(own_[1], far_));
    EXPECT_FALSE(Readable(own_[2]));
    EXPECT_EQ(Members(), members_);
    for (const int descriptor : placed_) EXPECT_GE(fcntl(descriptor, F_GETFD), 0);
  }

 private:
  int Place(int descriptor, int number) {
    // By a system call, since the library says of its numbers that they are not open.
    if (syscall(SYS_fcntl, number, F_GETFD) >= 0) return -1;
    EXPECT_EQ(fcntl(descriptor, F_DUPFD_CLOEXEC, number), number);
    placed_.push_back(number);
    return number;
  }

  // As proc_pid_fdinfo(5) has them: numbers and event masks.
  std::string Members() const {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(own_[0]));
    return {std::istreambuf_iterator<char>(info), {}};
  }

  const Nanos far_ = Now(CLOCK_MONOTONIC) + kHour;
  const std::array<int, 3> own_;
  std::vector<int> placed_;
  std::string members_ = Members();
};

// The timerfd among those that were opened since, and that is not the stranger's.
int TimerfdSince(const std::set<int>& before, int but) {
  for (const int descriptor : OpenDescriptors()) {
    if (before.count(descriptor) != 0 || descriptor == but) continue;
    if (KindOf(descriptor) == "[timerfd]") return descriptor;
  }
  return -1;
}

class Closing : public SteppedTest {};

// Closes the queue at each instruction of `operation`.
template <typename Prepare, typename Operation>
void CloseDuring(Prepare prepare, Operation operation) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    std::optional<Strangers> strangers(std::in_place);
    const std::set<int> before = OpenDescriptors();
    OpenedQueue queue;
    const Timer timer(queue.fd(), 1);
    prepare(queue, timer);
    stepper.Run([&] { operation(queue, timer); },
                [&] {
                  queue.Close();
                  strangers->TakeNumbersOf(queue);
                });
    if (stepper.interrupted()) {
      strangers->ExpectUnchanged();
      std::set<int> left = OpenDescriptors();
      for (const int descriptor : queue.internal()) left.erase(descriptor);
      EXPECT_EQ(left, before);
      strangers->TakeNumbersOf(queue);
      EXPECT_EQ(strangers->placed(), queue.internal().size());  // they were free, or are theirs
    }
  }
}

void Nothing(const OpenedQueue&, const Timer&) {}

TEST_F(Closing, DuringASettingThatTheKernelIsToldOf) {
  CloseDuring(Nothing, [](const OpenedQueue&, const Timer& timer) { timer.ArmIn(kSecond); });
}

TEST_F(Closing, DuringASettingThatIsAnnounced) {
  CloseDuring(Nothing, [](const OpenedQueue&, const Timer& timer) { timer.Expire(); });
}

void CollectAll(const OpenedQueue& queue, const Timer&) {
  std::array<ukevent, 8> events;
  const int count = kevent_get_events(queue.fd(), 0, 8, nullptr, events.data(), 0);
  EXPECT_TRUE(count >= 0 || errno == EBADF);
}

TEST_F(Closing, DuringACollection) {
  CloseDuring([](const OpenedQueue&, const Timer& timer) { timer.Expire(); }, CollectAll);
  CloseDuring(
      [](const OpenedQueue& queue, const Timer& timer) {
        timer.ArmIn(200 * kMicrosecond);
        AwaitReadable(queue.fd());
      },
      CollectAll);
}

TEST_F(Closing, DuringTheMakingOfATimer) {
  CloseDuring(Nothing, [](const OpenedQueue& queue, const Timer&) {
    sigevent request;
    kevent_sigevent(&request, queue.fd(), nullptr);
    timer_t timer;
    if (timer_create(CLOCK_BOOTTIME, &request, &timer) == 0) {
      EXPECT_EQ(timer_delete(timer), 0);
    } else {
      EXPECT_EQ(errno, EBADF);
    }
  });
}

// Whoever still uses the number hears that the queue is closed, not that this
// never was one.
TEST_F(Closing, IsNotMistakenForAStranger) {
  for (const bool by_range : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Queue queue;
      const int fd = queue.fd();
      const auto number = static_cast<unsigned>(fd);
      int result = 0;
      int error = 0;
      stepper.Run([&] { EXPECT_EQ(by_range ? close_range(number, number, 0) : close(fd), 0); },
                  [&] {
                    ukevent event;
                    result = kevent_get_events(fd, 0, 1, nullptr, &event, 0);
                    error = errno;
                  });
      queue.Release();
      EXPECT_TRUE(result == 0 || error == EBADF) << std::strerror(error);
    }
  }
}

// The number is a stranger's, and the queue's object another queue's, by the time
// that a call which has looked the number up goes on.
TEST_F(Closing, AndOpeningAnotherIsNotMistakenForTheFirst) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    Queue first;
    const int fd = first.fd();
    std::optional<Queue> second;
    std::optional<Timer> timer;
    int stranger = -1;
    int result = 0;
    stepper.Run(
        [&] {
          ukevent event;
          result = kevent_get_events(fd, 0, 1, nullptr, &event, 0);
        },
        [&] {
          first.Close();
          stranger = eventfd(0, EFD_CLOEXEC);
          second.emplace();
          timer.emplace(second->fd(), 2);
          timer->Expire();
        });
    EXPECT_LE(result, 0);
    if (stepper.interrupted()) {
      EXPECT_EQ(CollectReady(second->fd()), std::vector<uintptr_t>{2});
      close(stranger);
    }
  }
}

// Until dup2 has succeeded the number is what it was.
TEST_F(Closing, ByDup2IsNoMomentWithoutAQueue) {
  enum class Call { kSameQueue, kOtherQueue, kFails };
  for (const Call call : {Call::kSameQueue, Call::kOtherQueue, Call::kFails}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      const std::set<int> before = OpenDescriptors();
      Queue queue;
      Queue other;
      const int copy = dup(queue.fd());
      int count = 0;
      stepper.Run(
          [&] {
            if (call == Call::kFails) {
              EXPECT_EQ(dup3(other.fd(), copy, 0x40), -1);
            } else {
              EXPECT_EQ(dup2(call == Call::kSameQueue ? queue.fd() : other.fd(), copy), copy);
            }
          },
          [&] {
            ukevent event;
            count = kevent_get_events(copy, 0, 1, nullptr, &event, 0);
          });
      EXPECT_EQ(count, 0);
      EXPECT_EQ(close(copy), 0);
      queue.Close();
      other.Close();
      EXPECT_EQ(OpenDescriptors(), before);
    }
  }
}

// The copy is the queue, or of the stranger that has got the number; there may
// be none.  Another queue has nothing to do with it.
TEST_F(Closing, DuringADuplication) {
  for (const bool number_is_taken : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      OpenedQueue bystander;
      const std::set<int> before = OpenDescriptors();
      Queue queue;
      const Timer timer(queue.fd(), 1);
      timer.Expire();
      int stranger = -1;
      int copy = -1;
      int error = 0;
      stepper.Run(
          [&] {
            copy = dup(queue.fd());
            error = errno;
          },
          [&] {
            const int number = queue.fd();
            queue.Close();
            if (number_is_taken) stranger = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            EXPECT_EQ(stranger, number_is_taken ? number : -1);
          });
      ukevent event;
      if (copy < 0) {
        EXPECT_EQ(error, EBADF);
      } else if (kevent_get_events(copy, 0, 1, nullptr, &event, 0) < 0) {
        EXPECT_EQ(errno, EINVAL);
        EXPECT_EQ(KindOf(copy), "[eventfd]");
      } else {
        EXPECT_EQ(KindOf(copy), "[eventpoll]");
        EXPECT_EQ(Cookie(event), 1u);
      }
      queue.Close();
      if (copy >= 0) {
        EXPECT_EQ(close(copy), 0);
      }
      if (stranger >= 0) {
        EXPECT_EQ(close(stranger), 0);
      }
      EXPECT_EQ(OpenDescriptors(), before);
      bystander.CloseWhole();
    }
  }
}

TEST_F(Closing, InterruptedByASetting) {
  for (const bool due : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Strangers strangers;
      OpenedQueue queue;
      const Timer timer(queue.fd(), 1);
      stepper.Run([&] { close(queue.fd()); },
                  [&] {
                    strangers.TakeNumbersOf(queue);
                    due ? timer.Expire() : timer.ArmIn(kSecond);
                  });
      queue.Release();
      strangers.ExpectUnchanged();
      strangers.TakeNumbersOf(queue);
      EXPECT_EQ(strangers.placed(), queue.internal().size());
      EXPECT_EQ(ToNanos(timer.Get().it_value) == 0, due || !stepper.interrupted());
    }
  }
}

TEST_F(Closing, InterruptedByTheMakingOfAnotherQueue) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const std::set<int> before = OpenDescriptors();
    Queue queue;
    std::optional<Queue> other;
    stepper.Run([&] { close(queue.fd()); }, [&] { other.emplace(); });
    queue.Release();
    if (stepper.interrupted()) {
      const Timer timer(other->fd(), 1);
      timer.Expire();
      EXPECT_TRUE(Readable(other->fd()));
      EXPECT_EQ(CollectReady(other->fd()), std::vector<uintptr_t>{1});
      other.reset();
    }
    EXPECT_EQ(OpenDescriptors(), before);
  }
}

// A close that a signal handler has left is over, or can be made again.
TEST_F(Closing, LeftByASignalHandler) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    const std::set<int> before = OpenDescriptors();
    Queue queue;
    stepper.Run([&] { close(queue.fd()); }, [] { Stepper::Leave(); });
    const int number = queue.Release();
    if (fcntl(number, F_GETFD) >= 0) {
      EXPECT_EQ(close(number), 0);
    }
    EXPECT_EQ(OpenDescriptors(), before);
  }
}

// dup2 onto a number of the queue's, which has moved out of the way: the call
// has done what it is to do all the same.
TEST_F(Closing, OfANumberByDup2) {
  constexpr std::array kNumbers = {&OpenedQueue::epoll, &OpenedQueue::timerfd,
                                   &OpenedQueue::always_ready};
  enum class Call { kSettingThatIsAnnounced, kSetting, kCollection };
  constexpr std::array kCalls = {Call::kSettingThatIsAnnounced, Call::kSetting, Call::kCollection};
  int refused = 0;
  for (const auto number : kNumbers) {
    for (const Call call : kCalls) {
      // Held up in one, dup2 waits in vain at nearly every instruction: slow.
      if (call == Call::kCollection && number != &OpenedQueue::timerfd) continue;
      for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
        // Of all kinds the one that a call which comes too late would change.
        const int stranger = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        const Nanos far = Now(CLOCK_MONOTONIC) + kHour;
        const itimerspec strangers = Setting(far);
        ASSERT_EQ(timerfd_settime(stranger, TFD_TIMER_ABSTIME, &strangers, nullptr), 0);
        const std::set<int> before = OpenDescriptors();
        OpenedQueue queue;
        const Timer timer(queue.fd(), 1);
        const Nanos soon = Now(CLOCK_MONOTONIC) + kSecond;
        if (call == Call::kCollection) timer.Expire();
        int taken = -1;
        int error = 0;
        bool again = true;
        stepper.Run(
            [&] {
              if (call == Call::kSettingThatIsAnnounced) timer.Expire();
              if (call == Call::kSetting) timer.ArmAt(soon);
              if (call == Call::kCollection) CollectAll(queue, timer);
            },
            [&] {
              taken = dup2(stranger, (queue.*number)());
              error = errno;
            });
        // While the call that was held up may be about to use the number.
        if (stepper.interrupted() && taken < 0) {
          EXPECT_EQ(error, EBUSY);
          again = ++refused % 2 == 0;
          if (again) taken = dup2(stranger, (queue.*number)());
        }
        if (again) {
          EXPECT_EQ(taken, stepper.interrupted() ? (queue.*number)() : -1);
        }
        EXPECT_FALSE(ExpiresBy(stranger, far - kSecond));
        if (call == Call::kSetting) {
          EXPECT_TRUE(ExpiresBy(TimerfdSince(before, taken), soon));
        }
        EXPECT_EQ(Readable(queue.fd()), call == Call::kSettingThatIsAnnounced);
        EXPECT_EQ(CollectReady(queue.fd()).size(), call == Call::kSettingThatIsAnnounced ? 1 : 0);
        EXPECT_FALSE(Readable(queue.fd()));
        queue.Close();
        if (taken >= 0) close(taken);
        EXPECT_EQ(OpenDescriptors(), before);
        close(stranger);
      }
    }
  }
}

// Without descriptors a queue cannot be made, and nothing is closed that is not
// its own: not number 0 either, which zeroed memory could name.
TEST(ClosingOfWhatWasNotMade, LeavesEverythingElse) {
  ExpectChild([] {
    constexpr int kLimit = 16;
    const rlimit few = {kLimit, kLimit};
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    const auto open_now = [] {
      std::set<int> open;
      for (int number = 0; number < kLimit; ++number) {
        if (fcntl(number, F_GETFD) >= 0) open.insert(number);
      }
      return open;
    };
    std::vector<int> fillers;
    for (int filler; (filler = dup(0)) >= 0;) fillers.push_back(filler);
    CHILD_CHECK(open_now().count(0) == 1 && open_now().size() == kLimit);
    for (;;) {
      const std::set<int> before = open_now();
      if (kevent_init(nullptr, 0, 0) >= 0) break;
      CHILD_CHECK(errno == EMFILE);
      CHILD_CHECK(open_now() == before);
      close(fillers.back());
      fillers.pop_back();
    }
    CHILD_CHECK(kLimit - fillers.size() > 3);  // it took more than one to succeed
  });
}

}  // namespace
}  // namespace kevent_test
