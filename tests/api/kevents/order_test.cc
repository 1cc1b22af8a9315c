// SPDX-License-Identifier: MIT
//
// The order of a batch, as kevent(7) has it: by groups, whatever was ready first.

#include <aio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/kevents.h"
#include "tests/support/message_queue.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// Sources of one queue, ready in the order in which they are made so.  Their cookies
// say which they are.
class Sources {
 public:
  enum Kind : uintptr_t {
    kTimer = 1,
    kKeventTimer,
    kRead,
    kOtherRead,
    kUser,
    kOtherUser,
    kUserSignal,
    kRealTimeSignal,
    kSocket,
    kPipe,
    kEventfd,
    kDirectory,
    kProcess,
    kQueue,
    kMessageQueue,
    kKinds,
  };
  enum Group { kTimers, kCompletions, kMadeReady, kSignals, kDescriptors };

  static Group GroupOf(uintptr_t kind) {
    if (kind <= kKeventTimer) return kTimers;
    if (kind <= kOtherRead) return kCompletions;
    if (kind <= kOtherUser) return kMadeReady;
    return kind <= kRealTimeSignal ? kSignals : kDescriptors;
  }

  explicit Sources(uint32_t edges) {
    const auto descriptor = [&](uint32_t type, int fd, uint32_t event, Kind kind) {
      Register(DescriptorRequest(type, fd, event, edges | KEVENT_REQ_ALWAYS_QUEUE, kind));
    };
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket_.data()), 0);
    std::string name = "/tmp/kevent_test.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_name_ = name;
    directory_ = open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    child_ = fork();
    if (child_ == 0) {
      char byte;
      _exit(read(gate_.from(), &byte, 1) == 1 ? 0 : 1);
    }
    file_.Write("x");

    const kevent_timer_spec never = {CLOCK_MONOTONIC, 0, Setting(0)};
    Register(TimerRequest(1, &never, kKeventTimer));
    for (const Kind kind : {kUser, kOtherUser}) Register(User(kind));
    Register(Signal(SIGRTMIN, kRealTimeSignal));
    Register(Signal(SIGUSR1, kUserSignal));
    descriptor(KEVENT_SOCKET, socket_[0], KEVENT_SOCKET_RECV, kSocket);
    descriptor(KEVENT_PIPE, pipe_.from(), KEVENT_SOCKET_RECV, kPipe);
    descriptor(KEVENT_POLL, eventfd_, KEVENT_POLL_POLLIN, kEventfd);
    Register(DescriptorRequest(KEVENT_INODE, directory_, KEVENT_INODE_CREATE, 0, kDirectory));
    Register(
        Request(KEVENT_PROCESS, static_cast<uint64_t>(child_), KEVENT_PROCESS_EXIT, 0, kProcess));
    descriptor(KEVENT_KEVENT, inner_.fd(), KEVENT_KEVENT_READY, kQueue);
    EXPECT_EQ(Add(inner_.fd(), User(kUser)), 0);
    struct sigevent notification;
    kevent_sigevent(&notification, queue_.fd(), reinterpret_cast<void*>(kMessageQueue));
    EXPECT_EQ(mq_notify(messages_.id(), &notification), 0);
  }
  ~Sources() {
    for (const int fd : {socket_[0], socket_[1], eventfd_, directory_}) close(fd);
    EXPECT_EQ(unlink((directory_name_ + "/f").c_str()), 0);
    EXPECT_EQ(rmdir(directory_name_.c_str()), 0);
    EXPECT_EQ(ExitStatus(child_), 0);
  }

  int queue() const { return queue_.fd(); }

  void MakeReady(uintptr_t kind) {
    switch (kind) {
      case kTimer:
        return timer_.Expire();
      case kKeventTimer: {
        const kevent_timer_spec past = {CLOCK_MONOTONIC, TIMER_ABSTIME, Setting(1)};
        EXPECT_EQ(Control(queue(), KEVENT_CTL_MODIFY, TimerRequest(1, &past, kKeventTimer)), 0);
        return;
      }
      case kRead:
      case kOtherRead:
        return Read(&controls_[kind - kRead], kind);
      case kUser:
      case kOtherUser:
        EXPECT_TRUE(Inject(queue(), User(kind)));
        return;
      case kUserSignal:
        EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
        return;
      case kRealTimeSignal:
        EXPECT_EQ(kill(getpid(), SIGRTMIN), 0);
        return;
      case kSocket:
        EXPECT_EQ(write(socket_[1], "x", 1), 1);
        return;
      case kPipe:
        return pipe_.Put("x");
      case kEventfd:
        EXPECT_EQ(eventfd_write(eventfd_, 1), 0);
        return;
      case kDirectory:
        EXPECT_EQ(close(openat(directory_, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
        return;
      case kProcess: {
        gate_.Put("x");
        siginfo_t ended;
        EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOWAIT), 0);
        return;
      }
      case kQueue:
        EXPECT_TRUE(Inject(inner_.fd(), User(kUser)));
        return;
      default:
        return messages_.Send();
    }
  }

 private:
  static ukevent User(uintptr_t kind) {
    return Request(KEVENT_UNOTIFY, kind, KEVENT_UNOTIFY_EVENT, 0, kind);
  }
  static ukevent Signal(int signal, Kind kind) {
    return Request(KEVENT_SIGNAL, static_cast<uint64_t>(signal), KEVENT_SIGNAL_DELIVERY, 0, kind);
  }
  void Register(const ukevent& request) const { EXPECT_EQ(Add(queue(), request), 0); }

  void Read(aiocb* control, uintptr_t kind) {
    Prepare(control, queue(), file_.fd(), &byte_, 1);
    control->aio_sigevent.sigev_value.sival_ptr = reinterpret_cast<void*>(kind);
    EXPECT_EQ(aio_read(control), 0);
    while (ErrorOf(*control) == EINPROGRESS) sched_yield();
    // It has the result before it is reported, but both under the lock that this call takes.
    EXPECT_EQ(aio_cancel(file_.fd(), control), AIO_ALLDONE);
  }

  const Queue queue_;
  const Queue inner_;
  const Timer timer_{queue_.fd(), kTimer};
  std::array<int, 2> socket_;
  const Pipe pipe_;
  const Pipe gate_;
  const int eventfd_ = eventfd(0, EFD_CLOEXEC);
  std::string directory_name_;
  int directory_;
  pid_t child_;
  const MessageQueue messages_{"order"};
  const TemporaryFile file_;
  std::array<aiocb, 2> controls_;
  char byte_;
};

class Order : public testing::Test {
 protected:
  Order() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~Order() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

TEST_F(Order, IsThatOfTheGroupsAndInAGroupThatOfReadiness) {
  std::mt19937_64 random(20061024);
  for (int round = 0; round < 40 && !HasFailure(); ++round) {
    Sources sources(round % 2 == 0 ? 0 : KEVENT_REQ_ET);
    std::vector<uintptr_t> kinds;
    for (uintptr_t kind = Sources::kTimer; kind < Sources::kKinds; ++kind) kinds.push_back(kind);
    std::shuffle(kinds.begin(), kinds.end(), random);
    for (const uintptr_t kind : kinds) sources.MakeReady(kind);

    std::vector<uintptr_t> expected = kinds;
    std::stable_sort(expected.begin(), expected.end(), [](uintptr_t a, uintptr_t b) {
      return Sources::GroupOf(a) < Sources::GroupOf(b);
    });
    // Both have expired at one moment, and were armed in this order; signals come by number.
    const auto signals = std::find_if(expected.begin(), expected.end(), [](uintptr_t kind) {
      return Sources::GroupOf(kind) == Sources::kSignals;
    });
    std::sort(signals, signals + 2);
    EXPECT_EQ(Cookies(Take(sources.queue())), expected);
  }
}

// Events left for want of room, and kevents that are registered as ready, come before those
// made ready later, or earlier but by another call.
TEST_F(Order, OfWhatWasMadeReady) {
  const Queue queue;
  const auto user = [](uintptr_t i, uint32_t req_flags = 0) {
    return Request(KEVENT_UNOTIFY, i, KEVENT_UNOTIFY_EVENT, req_flags, i);
  };
  for (const uintptr_t i : {1, 2, 3, 4}) ASSERT_EQ(Add(queue.fd(), user(i)), 0);
  for (const uintptr_t i : {3, 1, 2}) ASSERT_TRUE(Inject(queue.fd(), user(i)));
  EXPECT_EQ(Cookies(Take(queue.fd(), 0, 1)), std::vector<uintptr_t>{3});
  ASSERT_TRUE(Inject(queue.fd(), user(4)));
  ASSERT_EQ(Add(queue.fd(), user(5, KEVENT_REQ_READY)), 0);
  ASSERT_TRUE(Inject(queue.fd(), user(3)));
  EXPECT_EQ(Cookies(Take(queue.fd())), (std::vector<uintptr_t>{1, 2, 5, 4, 3}));
}

TEST_F(Order, OfASecondKeventOnADescriptor) {
  const Queue queue;
  const Pipe first;
  const Pipe second;
  ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_PIPE, first.from(), KEVENT_SOCKET_RECV,
                                              KEVENT_REQ_ALWAYS_QUEUE, 1)),
            0);
  ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_PIPE, first.from(), KEVENT_SOCKET_RECV,
                                              KEVENT_REQ_ALWAYS_QUEUE, 2)),
            0);
  ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_PIPE, second.from(), KEVENT_SOCKET_RECV,
                                              KEVENT_REQ_ALWAYS_QUEUE, 3)),
            0);
  first.Put("x");
  second.Put("x");
  EXPECT_EQ(Cookies(Take(queue.fd())), (std::vector<uintptr_t>{1, 3, 2}));
}

}  // namespace
}  // namespace kevent_test
