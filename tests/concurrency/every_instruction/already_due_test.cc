// SPDX-License-Identifier: MIT
//
// Already due: a timer that is due when it is armed makes the
// descriptor readable at once, with a fresh edge for edge-triggered pollers,
// and never by reading or writing a descriptor.

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/kernel_view.h"

namespace kevent_test {
namespace {

constexpr uintptr_t kHead = 1;
constexpr uintptr_t kLate = 2;

void SetAt(const Timer& timer, Nanos moment) {
  const itimerspec setting = Setting(moment);
  timer_settime(timer.id(), TIMER_ABSTIME, &setting, nullptr);
}

// An edge-triggered poller.
class EdgePoller {
 public:
  explicit EdgePoller(int fd) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event = {EPOLLIN | EPOLLET, {}};
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0);
  }
  ~EdgePoller() { close(epoll_); }
  EdgePoller(const EdgePoller&) = delete;
  EdgePoller& operator=(const EdgePoller&) = delete;

  // Whether there was an edge since it was asked last.
  bool TakeEdge() const { return TakeEdgeWithin(0); }
  // Whether there is one, or will be: a timerfd that is set to the past becomes readable when the
  // processor comes to its interrupt.
  bool AwaitEdge() const { return TakeEdgeWithin(10'000); }

 private:
  bool TakeEdgeWithin(int milliseconds) const {
    epoll_event event;
    return epoll_wait(epoll_, &event, 1, milliseconds) == 1;
  }

  const int epoll_;
};

class AlreadyDue : public SteppedTest {};

// What the collection finds that is interrupted.
enum class Head { kNothing, kAnnounced, kExpired };
// What the timer is set to meanwhile.
enum class Moment {
  kLongAgo,
  kWithTheHead,  // what the kernel's timer was set to, or later by a nanosecond
  kNow,          // later than the collector's look at the clock
};

void Prepare(int queue, const Timer& head, Head kind) {
  Nanos soon = 200 * kMicrosecond;
  switch (kind) {
    case Head::kNothing:
      return;
    case Head::kAnnounced:
      head.Expire();
      return;
    case Head::kExpired:
      head.ArmIn(soon);
      AwaitReadable(queue);
  }
}

void SetLate(const Timer& timer, Moment moment, Nanos head) {
  switch (moment) {
    case Moment::kLongAgo:
      SetAt(timer, 1);
      return;
    case Moment::kWithTheHead:
      SetAt(timer, head);
      return;
    case Moment::kNow:
      SetAt(timer, Now(CLOCK_MONOTONIC));
  }
}

// Sets `late` at each instruction of a collection by an edge-triggered poller,
// which takes less than it asks for, and so waits for the next edge.
void SettingDuringACollection(Head kind, Moment moment, bool indexed) {
  SCOPED_TRACE(testing::Message() << "head " << static_cast<int>(kind) << ", moment "
                                  << static_cast<int>(moment) << ", indexed " << indexed);
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Queue queue;
    const Timer head(queue.fd(), kHead);
    const Timer late(queue.fd(), kLate);
    const EdgePoller poller(queue.fd());
    if (indexed) late.ArmIn(kHour);
    EXPECT_TRUE(CollectReady(queue.fd()).empty());
    Prepare(queue.fd(), head, kind);
    const Nanos expired = Now(CLOCK_MONOTONIC) - kMicrosecond;
    poller.TakeEdge();

    std::array<ukevent, 8> events;
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(queue.fd(), 0, 8, nullptr, events.data(), 0); },
                [&] {
                  SetLate(late, moment, expired);
                  EXPECT_TRUE(Readable(queue.fd()));
                });
    const auto is_late = [](const ukevent& event) { return Cookie(event) == kLate; };
    const bool collected = std::any_of(events.begin(), events.begin() + count, is_late);
    const bool left = stepper.interrupted() && !collected;
    if (left) {
      EXPECT_TRUE(poller.AwaitEdge());
    }
    EXPECT_EQ(Readable(queue.fd()), left);
    EXPECT_EQ(CollectReady(queue.fd()),
              left ? std::vector<uintptr_t>{kLate} : std::vector<uintptr_t>());
    EXPECT_FALSE(Readable(queue.fd()));
  }
}

TEST_F(AlreadyDue, SettingDuringACollection) {
  for (const Head kind : {Head::kNothing, Head::kAnnounced, Head::kExpired}) {
    for (const Moment moment : {Moment::kLongAgo, Moment::kWithTheHead, Moment::kNow}) {
      SettingDuringACollection(kind, moment, false);
      SettingDuringACollection(kind, moment, true);
    }
  }
}

// The one that is interrupted may have announced itself only in part; the other
// does not rely on it.  What the poller then has not collected gives it another
// edge.
TEST_F(AlreadyDue, SettingsOfTwoThreads) {
  for (const bool collects : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      const Queue queue;
      const Timer one(queue.fd(), 1);
      const Timer other(queue.fd(), 2);
      const EdgePoller poller(queue.fd());
      std::array<ukevent, 8> events;
      int count = 0;
      stepper.Run([&] { SetAt(one, 1); },
                  [&] {
                    SetAt(other, 1);
                    EXPECT_TRUE(Readable(queue.fd()));
                    EXPECT_TRUE(poller.TakeEdge());
                    if (!collects) return;
                    count = kevent_get_events(queue.fd(), 0, 8, nullptr, events.data(), 0);
                    EXPECT_GE(count, 1);
                  });
      const int left = (stepper.interrupted() ? 2 : 1) - count;
      if (left != 0) {
        EXPECT_TRUE(Readable(queue.fd()));
        if (count != 0) {
          EXPECT_TRUE(poller.TakeEdge());
        }
      }
      EXPECT_EQ(CollectReady(queue.fd()).size(), left);
      EXPECT_FALSE(Readable(queue.fd()));
    }
  }
}

// From here on reading or writing any descriptor but the standard ones ends the
// process.
bool ForbidReadingAndWriting() {
  constexpr std::array kForbidden = {SYS_read,    SYS_write,   SYS_pread64, SYS_pwrite64,
                                     SYS_readv,   SYS_writev,  SYS_preadv,  SYS_pwritev,
                                     SYS_preadv2, SYS_pwritev2};
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (size_t i = 0; i < kForbidden.size(); ++i) {
    const auto to_descriptor = static_cast<uint8_t>(kForbidden.size() - i);
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(kForbidden[i]),
                               to_descriptor, 0));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, STDERR_FILENO, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {static_cast<uint16_t>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

void Use(const Queue& queue) {
  std::array<ukevent, 8> events;
  const auto collect = [&events](int queue, unsigned min, Nanos timeout) {
    const timespec limit = ToTimespec(timeout);
    return kevent_get_events(queue, min, 8, &limit, events.data(), 0);
  };
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI}) {
    const Timer timer(queue.fd(), 1, clock);
    timer.Expire();
    CHILD_CHECK(Readable(queue.fd()));
    CHILD_CHECK(collect(queue.fd(), 1, kHour) == 1);
    timer.ArmAt(Now(clock) + kMillisecond);
    CHILD_CHECK(collect(queue.fd(), 1, kHour) == 1);
    timer.ArmIn(kMillisecond, kMillisecond);
    AwaitReadable(queue.fd());
    CHILD_CHECK(collect(queue.fd(), 2, kMillisecond) == 1);  // waits for more in vain
    timer.ArmIn(kHour);
    timer.Disarm();
    CHILD_CHECK(collect(queue.fd(), 0, 0) == 0);
    CHILD_CHECK(!Readable(queue.fd()));
  }
  const int copy = dup(queue.fd());
  CHILD_CHECK(copy >= 0 && close(copy) == 0);
}

TEST(AlreadyDueWithoutReadingOrWriting, IsAnnouncedAndWithdrawn) {
  ExpectChild([] {
    // What announces a queue is a pipe that a byte is written to when it is made.
    const Queue queue;
    CHILD_CHECK(ForbidReadingAndWriting());
    Use(queue);
  });
}

TEST(AlreadyDueWithoutReadingOrWriting, AnyReadWouldBeSeen) {
  const int eventfd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const pid_t child = fork();
  if (child == 0) {
    CHILD_CHECK(ForbidReadingAndWriting());
    uint64_t value;
    _exit(read(eventfd, &value, sizeof value) == 0 ? 1 : 2);
  }
  EXPECT_EQ(ExitStatus(child), 128 + SIGSYS);
  close(eventfd);
}

// Numbers of ours that were closed by a system call that the library does not
// see, and have come to name a stranger's.

TEST(AlreadyDueBesideStrangers, AnEventfdIsNotWritten) {
  ExpectChild([] {
    OpenedQueue queue;
    const Timer timer(queue.fd(), 1);
    syscall(SYS_close, queue.always_ready());
    CHILD_CHECK(fcntl(eventfd(0, EFD_NONBLOCK), F_DUPFD, queue.always_ready()) ==
                queue.always_ready());
    timer.Expire();
    uint64_t value;
    CHILD_CHECK(read(queue.always_ready(), &value, sizeof value) == -1 && errno == EAGAIN);
  });
}

TEST(AlreadyDueBesideStrangers, ATimerfdIsNotSet) {
  ExpectChild([] {
    OpenedQueue queue;
    const Timer timer(queue.fd(), 1);
    syscall(SYS_close, queue.timerfd());
    const int stranger = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    const Nanos far = Now(CLOCK_MONOTONIC) + kHour;
    const itimerspec setting = Setting(far);
    CHILD_CHECK(timerfd_settime(stranger, TFD_TIMER_ABSTIME, &setting, nullptr) == 0);
    CHILD_CHECK(fcntl(stranger, F_DUPFD, queue.timerfd()) == queue.timerfd());
    timer.ArmIn(60 * kSecond);
    CHILD_CHECK(!ExpiresBy(stranger, far - kSecond));
    CHILD_CHECK(ExpiresBy(stranger, far));
  });
}

}  // namespace
}  // namespace kevent_test
