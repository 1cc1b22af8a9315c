// SPDX-License-Identifier: MIT
//
// Bad input to every call: the errno of the design, and nothing changed.  What
// the timer calls say to bad settings and to stale handles is compared with the
// kernel's answers in tests/compat/signals.

#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <functional>
#include <ostream>

#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// Descriptors that are no queue, each with the errno that it is answered with.
struct WrongDescriptor {
  const char* name;
  std::function<int()> make;
  int error;
};

void PrintTo(const WrongDescriptor& descriptor, std::ostream* out) { *out << descriptor.name; }

const WrongDescriptor kWrongDescriptors[] = {
    {"minus_one", [] { return -1; }, EBADF},
    {"least_int", [] { return INT_MIN; }, EBADF},
    {"largest_int", [] { return INT_MAX; }, EBADF},
    {"closed",
     [] {
       const int fd = dup(0);
       close(fd);
       return fd;
     },
     EBADF},
    {"closed_queue",
     [] {
       const int fd = kevent_init(nullptr, 0, 0);
       close(fd);
       return fd;
     },
     EBADF},
    {"file", [] { return open("/proc/self/exe", O_RDONLY | O_CLOEXEC); }, EINVAL},
    {"timerfd", [] { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); }, EINVAL},
    {"epoll", [] { return epoll_create1(EPOLL_CLOEXEC); }, EINVAL},
    {"eventfd", [] { return eventfd(1, EFD_CLOEXEC); }, EINVAL},
};

class WrongDescriptors : public testing::TestWithParam<WrongDescriptor> {
 protected:
  ~WrongDescriptors() override {
    if (GetParam().error == EINVAL) close(fd_);
  }
  const int fd_ = GetParam().make();
};

TEST_P(WrongDescriptors, GetEvents) {
  ukevent event;
  for (const unsigned min : {0u, 1u}) {
    EXPECT_EQ(kevent_get_events(fd_, min, 1, nullptr, &event, 0), -1);
    EXPECT_EQ(errno, GetParam().error);
  }
  EXPECT_EQ(kevent_get_events(fd_, 0, 0, nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, GetParam().error);
  sigset_t mask;
  sigfillset(&mask);
  EXPECT_EQ(kevent_pget_events(fd_, 1, 1, nullptr, &event, 0, &mask), -1);
  EXPECT_EQ(errno, GetParam().error);
}

TEST_P(WrongDescriptors, TimerCreate) {
  const std::set<int> descriptors = OpenDescriptors();
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_PROCESS_CPUTIME_ID}) {
    sigevent request;
    kevent_sigevent(&request, fd_, nullptr);
    timer_t timer = reinterpret_cast<timer_t>(4711);
    EXPECT_EQ(timer_create(clock, &request, &timer), -1);
    EXPECT_EQ(errno, GetParam().error);
    EXPECT_EQ(timer, reinterpret_cast<timer_t>(4711)) << "written by a call that failed";
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

INSTANTIATE_TEST_SUITE_P(Is, WrongDescriptors, testing::ValuesIn(kWrongDescriptors),
                         [](const auto& test) { return test.param.name; });

// A queue with an expired timer, to see that bad calls take nothing.
class BadInput : public testing::Test {
 protected:
  void SetUp() override { timer_.Expire(); }
  void TearDown() override {
    EXPECT_TRUE(Readable(queue_.fd()));
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{77});
    EXPECT_EQ(OpenDescriptors(), descriptors_);
  }

  Queue queue_;
  Timer timer_{queue_.fd(), 77};
  const std::set<int> descriptors_ = OpenDescriptors();
};

TEST_F(BadInput, GetEventsFlags) {
  ukevent events[2];
  for (const unsigned flags :
       {unsigned{KEVENT_FLAGS_MONOTONIC}, 4u, 8u, 0x80000000u, 4u | KEVENT_FLAGS_ABSTIME, ~0u}) {
    for (const unsigned min : {0u, 1u}) {
      EXPECT_EQ(kevent_get_events(queue_.fd(), min, 2, nullptr, events, flags), -1) << flags;
      EXPECT_EQ(errno, EINVAL);
    }
    EXPECT_EQ(kevent_get_events(queue_.fd(), 0, 0, nullptr, nullptr, flags), -1) << flags;
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST_F(BadInput, GetEventsTimeout) {
  constexpr timespec kBad[] = {{-1, 0},       {LONG_MIN, 0},    {0, -1}, {0, 1'000'000'000},
                               {1, LONG_MAX}, {-1, 999'999'999}};
  ukevent events[2];
  for (const timespec& timeout : kBad) {
    for (const unsigned flags : {0u, unsigned{KEVENT_FLAGS_ABSTIME},
                                 unsigned{KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC}}) {
      for (const unsigned min : {0u, 1u}) {
        EXPECT_EQ(kevent_get_events(queue_.fd(), min, 2, &timeout, events, flags), -1)
            << timeout.tv_sec << "." << timeout.tv_nsec << " flags " << flags;
        EXPECT_EQ(errno, EINVAL);
      }
    }
  }
}

TEST_F(BadInput, GetEventsNumbers) {
  ukevent events[4];
  EXPECT_EQ(kevent_get_events(queue_.fd(), 4, 3, nullptr, events, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(kevent_get_events(queue_.fd(), UINT_MAX, 4, nullptr, events, 0), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(BadInput, GetEventsWithoutRoom) {
  for (const unsigned min : {0u, 1u}) {
    EXPECT_EQ(kevent_get_events(queue_.fd(), min, 1, nullptr, nullptr, 0), -1);
    EXPECT_EQ(errno, EFAULT);
  }
}

// ppoll(2) refuses to sleep on more descriptors than the process may open.
TEST_F(BadInput, GetEventsThatMayNotSleep) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  Queue empty;
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  ukevent event;
  EXPECT_EQ(kevent_get_events(empty.fd(), 1, 1, nullptr, &event, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(kevent_get_events(empty.fd(), 0, 1, nullptr, &event, 0), 0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(BadInput, Init) {
  struct kevent_ring ring;
  struct {
    struct kevent_ring* ring;
    unsigned num;
    unsigned flags;
    int error;
  } const kCases[] = {
      {nullptr, 0, 1, EINVAL},  {nullptr, 0, 0x80000000, EINVAL},
      {nullptr, 16, 0, EINVAL}, {&ring, 0, 0, EINVAL},
      {&ring, 1, 0, EINVAL},    {&ring, 16, 1, EINVAL},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(kevent_init(c.ring, c.num, c.flags), -1) << c.num << " " << c.flags;
    EXPECT_EQ(errno, c.error) << c.num << " " << c.flags;
  }
}

// The clock first, as in the kernel; then the pointer; then the descriptor.
TEST_F(BadInput, TimerCreateClocks) {
  for (const clockid_t clock :
       {CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, clockid_t{10},
        clockid_t{12}, clockid_t{1'000}, clockid_t{-1}, clockid_t{INT_MAX}, clockid_t{INT_MIN}}) {
    // What the kernel has to say of it.
    sigevent none = {};
    none.sigev_notify = SIGEV_NONE;
    timer_t timer;
    ASSERT_EQ(timer_create(clock, &none, &timer), -1) << clock;
    const int error = errno;

    for (const int fd : {queue_.fd(), -1}) {
      sigevent request;
      kevent_sigevent(&request, fd, nullptr);
      EXPECT_EQ(timer_create(clock, &request, &timer), -1) << clock;
      EXPECT_EQ(errno, error) << clock;
    }
  }
}

TEST_F(BadInput, TimerCreateWithoutTimer) {
  timer_t* volatile nowhere = nullptr;
  for (const int fd : {queue_.fd(), -1}) {
    sigevent request;
    kevent_sigevent(&request, fd, nullptr);
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &request, nowhere), -1);
    EXPECT_EQ(errno, EFAULT);
  }
}

// Exactly SIGEV_KEVENT is ours; the kernel knows no other value with that bit.
TEST_F(BadInput, NotifyWithFurtherBits) {
  for (const int notify :
       {SIGEV_KEVENT | SIGEV_THREAD_ID, SIGEV_KEVENT | SIGEV_THREAD, SIGEV_KEVENT | SIGEV_NONE,
        SIGEV_KEVENT | 16, SIGEV_KEVENT | INT_MIN, SIGEV_KEVENT * 2}) {
    sigevent request;
    kevent_sigevent(&request, queue_.fd(), nullptr);
    request.sigev_notify = notify;
    timer_t timer = reinterpret_cast<timer_t>(4711);
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &request, &timer), -1) << notify;
    EXPECT_EQ(errno, EINVAL) << notify;
  }
}

TEST_F(BadInput, HandlesThatAreNone) {
  const uint64_t id = timer_.id_bits();
  const uint64_t kBad[] = {
      id + 1,                  // a slot that was never used
      id + (1 << 20),          // one that has no memory
      id ^ uint64_t{1} << 32,  // other generations
      id + (uint64_t{2} << 32),
      id & UINT32_MAX,          // cut to 32 bits
      uint64_t{1} << 62,        // the tag alone
      (uint64_t{1} << 63) - 1,  // everything but the sign
      uint64_t{0x7fff'ffff},    // one of the kernel's, perhaps
  };
  for (const uint64_t bits : kBad) {
    const timer_t timer = reinterpret_cast<timer_t>(bits);
    const itimerspec setting = Setting(kHour);
    itimerspec value;
    EXPECT_EQ(timer_settime(timer, 0, &setting, nullptr), -1) << std::hex << bits;
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_gettime(timer, &value), -1) << std::hex << bits;
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_getoverrun(timer), -1) << std::hex << bits;
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(timer_delete(timer), -1) << std::hex << bits;
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST_F(BadInput, SettingsOutOfRangeKeepTheCompletion) {
  constexpr itimerspec kBad[] = {{{0, 0}, {0, -1}},
                                 {{0, 0}, {0, 1'000'000'000}},
                                 {{0, -1}, {1, 0}},
                                 {{0, 0}, {-1, 0}},
                                 {{-1, 0}, {0, 0}}};
  for (const itimerspec& setting : kBad) {
    for (const int flags : {0, TIMER_ABSTIME}) {
      EXPECT_EQ(timer_settime(timer_.id(), flags, &setting, nullptr), -1);
      EXPECT_EQ(errno, EINVAL);
    }
  }
  const itimerspec* volatile none = nullptr;
  EXPECT_EQ(timer_settime(timer_.id(), 0, none, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  itimerspec* volatile nowhere = nullptr;
  EXPECT_EQ(timer_gettime(timer_.id(), nowhere), -1);
  EXPECT_EQ(errno, EFAULT);
}

TEST(Errno, IsLeftAloneBySuccess) {
  constexpr int kNoErrno = 12345;
  errno = kNoErrno;
  const int fd = kevent_init(nullptr, 0, 0);
  EXPECT_EQ(errno, kNoErrno);
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI,
                                CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID}) {
    sigevent request;
    kevent_sigevent(&request, fd, nullptr);
    timer_t timer;
    ASSERT_EQ(timer_create(clock, &request, &timer), 0);
    EXPECT_EQ(errno, kNoErrno) << clock;
    itimerspec setting = Setting(1);
    timer_settime(timer, TIMER_ABSTIME, &setting, nullptr);
    EXPECT_EQ(errno, kNoErrno) << clock;
    ukevent event;
    EXPECT_EQ(kevent_get_events(fd, 1, 1, nullptr, &event, 0), 1);
    EXPECT_EQ(errno, kNoErrno) << clock;
    setting = Setting(kHour);
    timer_settime(timer, 0, &setting, nullptr);
    timer_gettime(timer, &setting);
    timer_getoverrun(timer);
    EXPECT_EQ(errno, kNoErrno) << clock;
    const timespec timeout = ToTimespec(kMillisecond);
    EXPECT_EQ(kevent_get_events(fd, 1, 1, &timeout, &event, 0), 0);
    EXPECT_EQ(errno, kNoErrno) << "after a timeout";
    timer_delete(timer);
    EXPECT_EQ(errno, kNoErrno) << clock;
  }
  const int copy = dup(fd);
  close(copy);
  close(fd);
  EXPECT_EQ(errno, kNoErrno);
}

TEST(Version, IsThatOfTheHeader) { EXPECT_STREQ(kevent_version(), KEVENT_VERSION); }

}  // namespace
}  // namespace kevent_test
