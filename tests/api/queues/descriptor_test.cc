// SPDX-License-Identifier: MIT
//
// Copies of the queue descriptor, the calls that close by replacing or by
// range, and close-on-exec.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <ostream>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

bool IsQueue(int fd) {
  ukevent event;
  return kevent_get_events(fd, 0, 1, nullptr, &event, 0) >= 0;
}

int GetEventsError(int fd) {
  ukevent event;
  return kevent_get_events(fd, 0, 1, nullptr, &event, 0) == -1 ? errno : 0;
}

struct Copying {
  const char* name;
  std::function<int(int)> copy;
  bool close_on_exec;
};

void PrintTo(const Copying& copying, std::ostream* out) { *out << copying.name; }

// A number that nothing else has.
constexpr int kFree = 300;

const Copying kCopyings[] = {
    {"dup", [](int fd) { return dup(fd); }, false},
    {"dup2", [](int fd) { return dup2(fd, kFree); }, false},
    {"dup3", [](int fd) { return dup3(fd, kFree, 0); }, false},
    {"dup3_cloexec", [](int fd) { return dup3(fd, kFree, O_CLOEXEC); }, true},
    {"F_DUPFD", [](int fd) { return fcntl(fd, F_DUPFD, kFree); }, false},
    {"F_DUPFD_CLOEXEC", [](int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, kFree); }, true},
    {"fcntl64", [](int fd) { return fcntl64(fd, F_DUPFD, 0); }, false},
};

class Copy : public testing::TestWithParam<Copying> {
 protected:
  void SetUp() override {
    copy_ = GetParam().copy(queue_.fd());
    ASSERT_GE(copy_, 0) << std::strerror(errno);
    ASSERT_NE(copy_, queue_.fd());
  }
  void TearDown() override {
    if (copy_ >= 0) close(copy_);
    queue_.Close();
    EXPECT_EQ(OpenDescriptors(), before_);
  }

  const std::set<int> before_ = OpenDescriptors();
  Queue queue_;
  int copy_ = -1;
};

TEST_P(Copy, IsTheSameQueue) {
  Timer timer(queue_.fd(), 1);
  Timer other(copy_, 2);
  timer.Expire();
  EXPECT_TRUE(Readable(copy_));
  EXPECT_EQ(CollectReady(copy_), std::vector<uintptr_t>{1});
  EXPECT_FALSE(Readable(queue_.fd()));
  other.Expire();
  EXPECT_TRUE(Readable(queue_.fd()));
  EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{2});
}

TEST_P(Copy, HasTheCloseOnExecFlagThatWasAskedFor) {
  EXPECT_EQ((fcntl(copy_, F_GETFD) & FD_CLOEXEC) != 0, GetParam().close_on_exec);
}

TEST_P(Copy, KeepsTheQueueWhenTheOriginalIsClosed) {
  Timer timer(queue_.fd(), 1);
  timer.ArmIn(kMillisecond);
  queue_.Close();
  EXPECT_EQ(Cookies(Collect(copy_, 1, 1)), std::vector<uintptr_t>{1});
  Timer later(copy_, 2);
  later.Expire();
  EXPECT_EQ(CollectReady(copy_), std::vector<uintptr_t>{2});
}

TEST_P(Copy, ClosedLeavesTheOriginal) {
  Timer timer(copy_, 1);
  timer.ArmIn(kMillisecond);
  close(copy_);
  EXPECT_EQ(GetEventsError(copy_), EBADF);
  copy_ = -1;
  EXPECT_EQ(Cookies(Collect(queue_.fd(), 1, 1)), std::vector<uintptr_t>{1});
}

TEST_P(Copy, LastCloseEndsTheQueue) {
  Timer timer(queue_.fd(), 1);
  timer.ArmIn(kHour);
  Sleeper sleeper(copy_, 1, 1);
  sleeper.AwaitAsleep();
  queue_.Close();
  EXPECT_FALSE(sleeper.returned());
  close(std::exchange(copy_, -1));
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EBADF);
  EXPECT_EQ(OpenDescriptors(), before_);
  EXPECT_GT(ToNanos(timer.Get().it_value), 0);
}

TEST_P(Copy, OfACopy) {
  const int third = dup(copy_);
  close(std::exchange(copy_, -1));
  queue_.Close();
  Timer timer(third, 3);
  timer.Expire();
  EXPECT_EQ(CollectReady(third), std::vector<uintptr_t>{3});
  close(third);
}

INSTANTIATE_TEST_SUITE_P(By, Copy, testing::ValuesIn(kCopyings),
                         [](const auto& test) { return test.param.name; });

TEST(Replacing, AQueueByAnotherFileEndsIt) {
  const std::set<int> before = OpenDescriptors();
  Queue queue;
  Timer timer(queue.fd(), 1);
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(dup2(file, queue.fd()), queue.fd());
  EXPECT_EQ(GetEventsError(queue.fd()), EINVAL);
  EXPECT_GE(timer_getoverrun(timer.id()), 0);
  close(file);
  queue.Close();
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Replacing, AQueueByAnotherQueue) {
  Queue one;
  Queue other;
  Timer timer(one.fd(), 1);
  Timer other_timer(other.fd(), 2);
  Sleeper sleeper(other.fd(), 1, 1);
  sleeper.AwaitAsleep();
  ASSERT_EQ(dup2(one.fd(), other.fd()), other.fd());
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EBADF);
  timer.Expire();
  other_timer.Expire();
  EXPECT_EQ(CollectReady(other.fd()), std::vector<uintptr_t>{1});
}

TEST(Replacing, AQueueByItselfChangesNothing) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  timer.Expire();
  EXPECT_EQ(dup2(queue.fd(), queue.fd()), queue.fd());
  EXPECT_EQ(dup3(queue.fd(), queue.fd(), 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
}

TEST(Replacing, ThatFailsChangesNothing) {
  Queue queue;
  Timer timer(queue.fd(), 1);
  timer.Expire();
  EXPECT_EQ(dup2(-1, queue.fd()), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(dup2(queue.fd(), -1), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(dup3(queue.fd(), kFree, 0x40), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(dup2(queue.fd(), 3'000'000), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(fcntl(queue.fd(), F_DUPFD, -1), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
}

// What the queue is made of is out of the program's way: neither a range that
// it closes nor a number that it takes hits it.
class Internals : public testing::Test {
 protected:
  void SetUp() override {
    for (const int fd : OpenDescriptors()) {
      if (fd != queue_.fd() && !before_.contains(fd)) internal_.push_back(fd);
    }
    ASSERT_FALSE(internal_.empty());
  }
  void ExpectWorking() {
    timer_.Expire();
    AwaitReadable(queue_.fd());
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
    timer_.ArmIn(kMillisecond);
    EXPECT_EQ(Collect(queue_.fd(), 1, 1).size(), 1u);
    realtime_.ArmAt(Now(CLOCK_REALTIME) + kMillisecond);
    AwaitReadable(queue_.fd());
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{2});
  }

  const std::set<int> before_ = OpenDescriptors();
  Queue queue_;
  Timer timer_{queue_.fd(), 1};
  Timer realtime_{queue_.fd(), 2, CLOCK_REALTIME};
  std::vector<int> internal_;
};

TEST_F(Internals, AreCloseOnExec) {
  EXPECT_NE(fcntl(queue_.fd(), F_GETFD) & FD_CLOEXEC, 0);
  for (const int fd : internal_) EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
}

TEST_F(Internals, LieAboveWhatAProgramUses) {
  for (const int fd : internal_) EXPECT_GT(fd, queue_.fd() + 1);
}

TEST_F(Internals, AreSparedByCloseRange) {
  const int file = dup(0);
  ASSERT_EQ(close_range(static_cast<unsigned>(queue_.fd()) + 1, ~0U, 0), 0);
  EXPECT_EQ(fcntl(file, F_GETFD), -1);
  ExpectWorking();
}

TEST_F(Internals, AreSparedByClosefrom) {
  const int file = dup(0);
  closefrom(queue_.fd() + 1);
  EXPECT_EQ(fcntl(file, F_GETFD), -1);
  ExpectWorking();
}

TEST_F(Internals, AreSparedByRangesOfThemAlone) {
  for (const int fd : internal_) {
    EXPECT_EQ(close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0), 0);
  }
  ExpectWorking();
}

TEST_F(Internals, MoveAwayForDup2) {
  std::vector<int> taken;
  for (const int fd : internal_) {
    ASSERT_EQ(dup2(0, fd), fd) << std::strerror(errno);
    taken.push_back(fd);
  }
  ExpectWorking();
  for (const int fd : taken) EXPECT_EQ(close(fd), 0);
  ExpectWorking();
}

TEST_F(Internals, StayWhenDup3Fails) {
  for (const int fd : internal_) {
    EXPECT_EQ(dup3(0, fd, 0x40), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(close(fd), -1);
    EXPECT_EQ(errno, EBADF);
  }
  ExpectWorking();
}

TEST_F(Internals, StayWhenTheQueueIsAskedForItsFlags) {
  EXPECT_EQ(fcntl(queue_.fd(), F_SETFD, 0), 0);
  EXPECT_EQ(fcntl(queue_.fd(), F_GETFD), 0);
  EXPECT_EQ(fcntl(queue_.fd(), F_SETFD, FD_CLOEXEC), 0);
  ExpectWorking();
}

// All of them, as by a program that detaches itself without the C library.
TEST_F(Internals, ClosedBehindTheLibrarysBackBelongToWhoeverHasThemNext) {
  for (const int fd : internal_) ASSERT_EQ(syscall(SYS_close, fd), 0);
  ukevent event;
  EXPECT_EQ(kevent_get_events(queue_.fd(), 1, 1, nullptr, &event, 0), -1);
  EXPECT_EQ(errno, EBADF);
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (const int fd : internal_) ASSERT_EQ(syscall(SYS_dup3, file, fd, O_CLOEXEC), fd);
  timer_.Expire();
  const int first = internal_.front();
  EXPECT_EQ(fcntl(first, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(close(first), 0);
  EXPECT_EQ(fcntl(first, F_GETFD), -1);
  queue_.Close();
  for (const int fd : internal_) EXPECT_EQ(fcntl(fd, F_GETFD) == -1, fd == first) << fd;
  EXPECT_EQ(close_range(static_cast<unsigned>(internal_.front()),
                        static_cast<unsigned>(internal_.back()), 0),
            0);
  close(file);
  EXPECT_EQ(OpenDescriptors(), before_);
}

TEST(CloseRange, OverTheQueueEndsIt) {
  std::set<int> others = OpenDescriptors();
  Queue queue;
  const int fd = queue.Release();
  int last = fd;
  for (const int number : OpenDescriptors()) {
    if (!others.contains(number)) last = number;
  }
  Sleeper sleeper(fd, 1, 1);
  sleeper.AwaitAsleep();
  ASSERT_EQ(close_range(static_cast<unsigned>(fd), static_cast<unsigned>(last), 0), 0);
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EBADF);
  EXPECT_FALSE(IsQueue(fd));
  others.erase(others.lower_bound(fd), others.upper_bound(last));
  EXPECT_EQ(OpenDescriptors(), others);
}

TEST(CloseRange, WithBadArgumentsChangesNothing) {
  Queue queue;
  EXPECT_EQ(close_range(~0U, 0, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(close_range(0, ~0U, 0x7000), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(IsQueue(queue.fd()));
}

TEST(CloseRange, BeyondAllNumbersClosesNothing) {
  Queue queue;
  EXPECT_EQ(close_range(1U << 31, ~0U, 0), 0);
  EXPECT_TRUE(IsQueue(queue.fd()));
}

TEST(CloseRange, ToMarkCloseOnExecClosesNothing) {
  Queue queue;
  const int copy = dup(queue.fd());
  if (close_range(static_cast<unsigned>(queue.fd()), ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
    EXPECT_NE(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
  } else {
    EXPECT_EQ(errno, EINVAL);  // Linux before 5.11, and nothing is closed either
  }
  Timer timer(copy, 1);
  timer.Expire();
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
  close(copy);
}

TEST(LowestNumber, IsWhatAQueueGets) {
  const int lowest = dup(0);
  close(lowest);
  Queue queue;
  EXPECT_EQ(queue.fd(), lowest);
}

}  // namespace
}  // namespace kevent_test
