// SPDX-License-Identifier: MIT
//
// Tables of descriptors that are shared without the memory, and memory without the
// table: what is done there changes nothing of the process's queues.  And epolls of the
// program's own, which see nothing that is not theirs.

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <set>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

class Tables : public testing::Test {
 public:
  int queue() const { return queue_.fd(); }

 protected:
  Tables() : timer_(queue_.fd(), 1) {}

  // Runs `body(this)` in a child of clone with these flags; its exit status.
  int InClone(int flags, int (*body)(void*)) {
    constexpr size_t kStack = 256 * 1024;
    auto* stack = static_cast<char*>(mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
    EXPECT_NE(stack, MAP_FAILED);
    const pid_t child = clone(body, stack + kStack, flags | SIGCHLD, this);
    const int result = child < 0 ? -errno : ExitStatus(child);
    munmap(stack, kStack);
    return result;
  }

  void ExpectUntouched() {
    timer_.Expire();
    AwaitReadable(queue_.fd());
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
    timer_.ArmIn(kMillisecond);
    AwaitReadable(queue_.fd());
    EXPECT_EQ(CollectReady(queue_.fd()), std::vector<uintptr_t>{1});
    queue_.Close();
    EXPECT_EQ(OpenDescriptors(), before_);
  }

  static int CloseAll(void* test) {
    const int queue = static_cast<Tables*>(test)->queue();
    if (close(queue) != 0) return 1;
    closefrom(3);
    return fcntl(queue, F_GETFD) == -1 ? 0 : 2;
  }

  const std::set<int> before_ = OpenDescriptors();
  Queue queue_;
  Timer timer_;
};

TEST_F(Tables, AChildWithTheMemoryAndItsOwnTable) {
  EXPECT_EQ(InClone(CLONE_VM | CLONE_VFORK, &Tables::CloseAll), 0);
  ExpectUntouched();
}

// Each is process 1 of its namespace.
TEST(TablesOfProcessesOne, AreToldFromEachOther) {
  constexpr int kSkipped = 77;
  const pid_t outer = fork();
  if (outer == 0) {
    if (unshare(CLONE_NEWPID) != 0) _exit(kSkipped);
    const pid_t first = fork();
    if (first != 0) _exit(ExitStatus(first));
    static int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(getpid() == 1 && queue >= 0);
    static char stack[256 * 1024];
    const auto close_all = [](void*) {
      const bool is_first = getpid() == 1;
      closefrom(3);
      return is_first ? 0 : 1;
    };
    const pid_t child = clone(close_all, stack + sizeof stack,
                              CLONE_VM | CLONE_VFORK | CLONE_NEWPID | SIGCHLD, nullptr);
    CHILD_CHECK(child > 0 && ExitStatus(child) == 0);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 0, 1, nullptr, &event, 0) == 0);
    _exit(0);
  }
  const int status = ExitStatus(outer);
  if (status == kSkipped) GTEST_SKIP() << "no namespaces here";
  EXPECT_EQ(status, 0);
}

TEST_F(Tables, AThreadThatHasLeftTheTable) {
  std::thread([this] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    EXPECT_EQ(CloseAll(this), 0);
  }).join();
  ExpectUntouched();
}

TEST_F(Tables, AThreadThatHasLeftTheTableByACloseOfARange) {
  std::thread([this] {
    ASSERT_EQ(close_range(3, ~0U, CLOSE_RANGE_UNSHARE), 0);
    EXPECT_EQ(close(queue_.fd()), -1);
  }).join();
  ExpectUntouched();
}

// By a system call, which the library does not see: the lock says so.
TEST_F(Tables, AThreadThatHasLeftTheTableUnseen) {
  std::thread([this] {
    ASSERT_EQ(syscall(SYS_unshare, CLONE_FILES), 0);
    EXPECT_EQ(close(queue_.fd()), 0);
  }).join();
  ExpectUntouched();
}

// The kernel makes no copy of a table that only one thread uses: the queues that are
// there, and those that are made afterwards, are the thread's as ever.
TEST_F(Tables, AProcessOfOneThreadThatUnshares) {
  for (const bool has_queue : {true, false}) {
    ExpectChild([this, has_queue] {
      if (!has_queue) CHILD_CHECK(close(queue()) == 0);
      CHILD_CHECK(unshare(CLONE_FILES) == 0);
      const std::set<int> before = OpenDescriptors();
      const int own = kevent_init(nullptr, 0, 0);
      const int copy = dup(own);
      CHILD_CHECK(own >= 0 && copy >= 0 && close(own) == 0);
      ukevent event;
      CHILD_CHECK(kevent_get_events(copy, 0, 1, nullptr, &event, 0) == 0);
      CHILD_CHECK(close(copy) == 0);
      CHILD_CHECK(OpenDescriptors() == before);
    });
  }
}

// It makes a queue of its own among its parent's descriptors, and closes it.
TEST_F(Tables, AChildWithTheTableAndItsOwnMemory) {
  const auto use = [](void* test) {
    const int parents = static_cast<Tables*>(test)->queue();
    ukevent event;
    if (kevent_get_events(parents, 0, 1, nullptr, &event, 0) != -1 || errno != EINVAL) return 1;
    const int own = kevent_init(nullptr, 0, 0);
    return own >= 0 && close(own) == 0 ? 0 : 2;
  };
  EXPECT_EQ(InClone(CLONE_FILES, use), 0);
  ExpectUntouched();
}

// ---- Epolls of the program's own -----------------------------------------------

// Counts what an epoll without members reports.
class Listener {
 public:
  explicit Listener(int epoll)
      : thread_([this, epoll] {
          while (!over_) {
            epoll_event event;
            if (epoll_wait(epoll, &event, 1, 1) != 0) ++reported_;
          }
        }) {}
  int Stop() {
    over_ = true;
    thread_.join();
    return reported_;
  }

 private:
  std::atomic<bool> over_{false};
  std::atomic<int> reported_{0};
  std::thread thread_;
};

TEST(OwnEpolls, SeeNothingWhenTheyReplaceAQueue) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  Listener listener(epoll);
  for (int i = 0; i < 2'000; ++i) {
    Queue queue;
    const Timer timer(queue.fd(), 1);
    timer.ArmIn(20 * kMicrosecond);
    AwaitReadable(queue.fd());  // by its timerfd
    ASSERT_EQ(dup2(epoll, queue.fd()), queue.fd());
  }
  EXPECT_EQ(listener.Stop(), 0);
  EXPECT_EQ(close(epoll), 0);
}

// The number is taken from the queue unseen, and has come to be the epoll's when the
// child of a fork looks what it has inherited.
TEST(OwnEpolls, SeeNothingOfAChild) {
  for (int i = 0; i < 30; ++i) {
    Queue queue;
    const int number = queue.fd();
    const Timer timer(number, 1);
    timer.ArmIn(20 * kMicrosecond);
    AwaitReadable(number);
    ASSERT_EQ(syscall(SYS_close, number), 0);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    ASSERT_EQ(epoll, number);
    Listener listener(epoll);
    ExpectChild([] {});
    EXPECT_EQ(listener.Stop(), 0);
    EXPECT_EQ(close(epoll), 0);
    queue.Release();
  }
}

TEST(QueuesDescriptor, KeepsItsMarkWhenTheProgramSetsASignal) {
  Queue queue;
  const Timer timer(queue.fd(), 1);
  EXPECT_EQ(fcntl(queue.fd(), F_GETSIG), 0);
  EXPECT_EQ(fcntl(queue.fd(), F_SETSIG, SIGUSR1), 0);
  EXPECT_EQ(fcntl(queue.fd(), F_GETSIG), SIGUSR1);
  EXPECT_EQ(fcntl(queue.fd(), F_SETSIG, 65), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(fcntl(queue.fd(), F_SETSIG, 0), 0);
  timer.Expire();
  AwaitReadable(queue.fd());
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
}

}  // namespace
}  // namespace kevent_test
