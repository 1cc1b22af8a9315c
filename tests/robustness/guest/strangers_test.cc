// SPDX-License-Identifier: MIT
//
// Queues are closed while their timers are set, and somebody else opens files
// all the time: nothing of ours ever lands in them.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <array>
#include <atomic>

#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr int kRounds = 3'000;

class Strangers : public testing::Test {
 private:
  Watchdog watchdog_;
};

// A descriptor of each kind that a queue has inside, and sockets, at numbers
// that a queue may just have had.
class Bystander {
 public:
  Bystander()
      : timerfd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)),
        eventfd_(eventfd(0, EFD_NONBLOCK)) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets_.data()), 0);
    itimerspec far = {{0, 0}, {kFarSeconds, 0}};
    EXPECT_EQ(timerfd_settime(timerfd_, 0, &far, nullptr), 0);
  }
  ~Bystander() {
    for (const int fd : {timerfd_, eventfd_, sockets_[0], sockets_[1]}) EXPECT_EQ(close(fd), 0);
  }
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;

  // High, where those of queues are.
  void MoveHigh() {
    for (int* fd : {&timerfd_, &eventfd_, &sockets_[0], &sockets_[1]}) {
      const int high = fcntl(*fd, F_DUPFD_CLOEXEC, 768);
      ASSERT_GE(high, 0);
      EXPECT_EQ(close(*fd), 0);
      *fd = high;
    }
  }

  void ExpectUntouched() const {
    itimerspec left;
    ASSERT_EQ(timerfd_gettime(timerfd_, &left), 0);
    EXPECT_GT(left.it_value.tv_sec, kFarSeconds - 1000);
    uint64_t value;
    EXPECT_EQ(read(timerfd_, &value, sizeof value), -1);
    EXPECT_EQ(read(eventfd_, &value, sizeof value), -1);
    for (const int socket : sockets_)
      EXPECT_EQ(recv(socket, &value, sizeof value, MSG_DONTWAIT), -1);
  }

 private:
  static constexpr time_t kFarSeconds = 1'000'000;
  int timerfd_;
  int eventfd_;
  std::array<int, 2> sockets_;
};

TEST_F(Strangers, AreNotTouchedWhenAQueueIsClosedUnderAnArmer) {
  std::atomic<timer_t> timer{nullptr};
  std::atomic<bool> over{false};
  {
    const Thread armer([&] {
      while (!over) {
        const timer_t id = timer;
        if (id == nullptr) continue;
        const itimerspec near = {{0, 0}, {0, 1}};
        const itimerspec later = {{0, 0}, {0, 100'000}};
        timer_settime(id, 0, &near, nullptr);
        timer_settime(id, 0, &later, nullptr);
      }
    });
    const Thread opener([&] {
      while (!over) {
        Bystander bystander;
        bystander.MoveHigh();
        for (int i = 0; i < 3; ++i) sched_yield();
        bystander.ExpectUntouched();
      }
    });
    for (int i = 0; i < kRounds && !HasFailure(); ++i) {
      Queue queue;
      const Timer mine(queue.fd(), 1);
      timer = mine.id();
      mine.ArmIn(kHour);
      sched_yield();
      if (i % 2 == 0) {
        CollectReady(queue.fd());
      }
      queue.Close();
      timer = nullptr;
    }
    over = true;
  }
}

// One thread sleeps in the queue that another one closes, again and again.
TEST_F(Strangers, ASleeperOfAClosedQueueComesBack) {
  for (int i = 0; i < 300; ++i) {
    Queue queue;
    const int fd = queue.fd();
    std::atomic<int> error{0};
    {
      const Thread sleeper([&] {
        ukevent event;
        if (kevent_get_events(fd, 1, 1, nullptr, &event, 0) < 0) error = errno;
      });
      if (i % 3 == 0) sleeper.AwaitAsleep();
      queue.Close();
    }
    EXPECT_EQ(error, EBADF);
  }
}

}  // namespace
}  // namespace kevent_test
