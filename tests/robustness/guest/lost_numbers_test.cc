// SPDX-License-Identifier: MIT
//
// Numbers of a queue that the program closes by system calls that the library
// does not see, one at a time, and that are a stranger's then.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <array>
#include <functional>

#include "tests/support/kernel_view.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// A stranger of each kind, none of which is ready.
class Stranger {
 public:
  explicit Stranger(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  ~Stranger() { close(fd_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

int Timerfd() { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); }
int Eventfd() { return eventfd(0, EFD_CLOEXEC); }
int Epoll() { return epoll_create1(EPOLL_CLOEXEC); }
int Socket() { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

// Puts the stranger under a number of the queue's, as close and dup2 by system
// calls would.
void Replace(int number, const Stranger& stranger) {
  ASSERT_EQ(syscall(SYS_dup3, stranger.fd(), number, O_CLOEXEC), number);
}

// Everything that has the queue use its numbers.
void UseAll(const OpenedQueue& queue, const Timer& timer, const Timer& realtime) {
  std::array<ukevent, 8> events;
  const auto collect = [&] { kevent_get_events(queue.fd(), 0, 8, nullptr, events.data(), 0); };
  timer.Expire();
  collect();
  realtime.Expire();
  collect();
  timer.ArmIn(kHour);
  realtime.ArmIn(kHour);
  timer.Expire();
  collect();
}

TEST(LostNumbers, OneByOneAreLeftToStrangers) {
  constexpr std::array kNumbers = {&OpenedQueue::epoll, &OpenedQueue::timerfd,
                                   &OpenedQueue::always_ready};
  for (const auto number : kNumbers) {
    for (int (*make)() : {&Timerfd, &Eventfd, &Epoll, &Socket}) {
      const std::set<int> before = OpenDescriptors();
      {
        OpenedQueue queue;
        const Timer timer(queue.fd(), 1);
        const Timer realtime(queue.fd(), 2, CLOCK_REALTIME);
        const Stranger stranger(make());
        const int lost = (queue.*number)();
        Replace(lost, stranger);
        UseAll(queue, timer, realtime);
        if (KindOf(lost) == "[timerfd]") {
          itimerspec setting;
          ASSERT_EQ(timerfd_gettime(lost, &setting), 0);
          EXPECT_EQ(ToNanos(setting.it_value), 0);
        } else {
          EXPECT_FALSE(Readable(lost));
        }
        queue.Close();
        EXPECT_EQ(fcntl(lost, F_GETFD), FD_CLOEXEC) << KindOf(lost);
        EXPECT_EQ(close(lost), 0);
      }
      EXPECT_EQ(OpenDescriptors(), before);
    }
  }
}

// The program's own epoll, with members under the very numbers of the queue's.
TEST(LostNumbers, MembersOfAStrangersEpollStayWhatTheyAre) {
  OpenedQueue queue;
  const Timer timer(queue.fd(), 1);
  const Timer realtime(queue.fd(), 2, CLOCK_REALTIME);
  const Stranger epoll(Epoll());
  const Stranger member(Eventfd());
  Replace(queue.epoll(), epoll);
  for (const int number : {queue.always_ready(), queue.timerfd()}) {
    Replace(number, member);
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = 0xdeadbeef;
    ASSERT_EQ(epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, number, &event), 0);
  }
  UseAll(queue, timer, realtime);
  const uint64_t one = 1;
  ASSERT_EQ(write(member.fd(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  std::array<epoll_event, 4> events;
  ASSERT_EQ(epoll_wait(epoll.fd(), events.data(), 4, 0), 2);
  EXPECT_EQ(events[0].data.u64, 0xdeadbeef);
  EXPECT_EQ(events[1].data.u64, 0xdeadbeef);
  for (const int number : {queue.epoll(), queue.always_ready(), queue.timerfd()}) close(number);
}

// Not only strangers': of another queue, which gets the numbers of the first.
TEST(LostNumbers, OfOneQueueAreNotUsedWhenAnotherHasThem) {
  OpenedQueue first;
  const Timer firsts(first.fd(), 1);
  for (const int number : first.internal()) ASSERT_EQ(syscall(SYS_close, number), 0);
  OpenedQueue second;
  EXPECT_EQ(second.internal(), first.internal());
  const Timer seconds(second.fd(), 2);
  seconds.ArmIn(20 * kMillisecond);
  firsts.ArmIn(kHour);
  firsts.ArmIn(10 * kMillisecond);
  firsts.ArmIn(kHour);
  AwaitReadable(second.fd());
  EXPECT_EQ(CollectReady(second.fd()), std::vector<uintptr_t>{2});
  first.Close();
  seconds.Expire();
  EXPECT_EQ(CollectReady(second.fd()), std::vector<uintptr_t>{2});
}

// A number that can be closed again, by whoever has it next, as any other.
TEST(LostNumbers, CanBeClosedByWhoHasThemNext) {
  const OpenedQueue queue;
  const Stranger stranger(Socket());
  Replace(queue.always_ready(), stranger);
  EXPECT_EQ(close(queue.always_ready()), 0);
  EXPECT_EQ(fcntl(queue.always_ready(), F_GETFD), -1);
}

// The name of a queue is given to another one.
TEST(LostNumbers, ANameThatAnotherQueueGetsEndsTheFirst) {
  const std::set<int> before = OpenDescriptors();
  Queue first;
  const int number = first.Release();
  Sleeper sleeper(number, 1, 1);
  sleeper.AwaitAsleep();
  ASSERT_EQ(syscall(SYS_close, number), 0);
  Queue second;
  ASSERT_EQ(second.fd(), number);
  EXPECT_EQ(sleeper.result(), -1);
  EXPECT_EQ(sleeper.error(), EBADF);
  second.Close();
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace kevent_test
