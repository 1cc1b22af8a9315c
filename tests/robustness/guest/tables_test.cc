// SPDX-License-Identifier: MIT
//
// Tables of descriptors that are shared without the memory, and memory without the
// table: what is done there changes nothing of the process's queues.  And epolls of the
// program's own, which see nothing that is not theirs.

#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/kevents.h"
#include "tests/support/message_queue.h"
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

// ---- A thread whose descriptors are others than the queue's -----------------------

// The calls of the thread that take the queue's descriptor.
class OwnTable : public Tables {
 protected:
  using Call = std::function<int(int queue)>;

  // Each is EBADF in a thread that has left the table, and in one that it has made.
  void ExpectRefused(const Call& call) {
    const auto refused = [&] {
      errno = 0;
      EXPECT_EQ(call(queue()), -1);
      EXPECT_EQ(errno, EBADF);
    };
    std::thread([&] {
      ASSERT_EQ(unshare(CLONE_FILES), 0);
      refused();
      std::thread(refused).join();
      refused();
    }).join();
    std::thread([&] {
      ASSERT_EQ(close_range(~0U, ~0U, CLOSE_RANGE_UNSHARE), 0);
      refused();
    }).join();
  }

  static sigevent Request(int queue) {
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    return request;
  }
};

TEST_F(OwnTable, AddsNoKevents) {
  const Pipe pipe;
  ExpectRefused([&](int queue) {
    ukevent entry = DescriptorRequest(KEVENT_POLL, pipe.from(), KEVENT_POLL_POLLIN);
    return kevent_ctl(queue, KEVENT_CTL_ADD, 1, &entry);
  });
  EXPECT_EQ(Add(queue(), DescriptorRequest(KEVENT_POLL, pipe.from(), KEVENT_POLL_POLLIN)), 0);
}

TEST_F(OwnTable, MakesNothingReady) {
  ukevent user = kevent_test::Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT);
  ASSERT_EQ(Add(queue(), user), 0);
  ExpectRefused([&](int queue) { return kevent_ctl(queue, KEVENT_CTL_READY, 1, &user); });
  EXPECT_TRUE(Collect(queue(), 0, 1).empty());
}

TEST_F(OwnTable, CollectsNothing) {
  timer_.Expire();
  ukevent event;
  ExpectRefused([&](int queue) { return kevent_get_events(queue, 0, 1, nullptr, &event, 0); });
  ExpectRefused([](int queue) { return kevent_wait(queue, 1, 0, nullptr, 0); });
  ExpectRefused([](int queue) { return kevent_commit(queue, 0, 0); });
  EXPECT_EQ(Collect(queue(), 1, 1).size(), 1);
}

TEST_F(OwnTable, MakesNoTimersAndSetsThoseThatThereAre) {
  ExpectRefused([](int queue) {
    sigevent request = Request(queue);
    timer_t timer;
    return timer_create(CLOCK_MONOTONIC, &request, &timer);
  });
  std::thread([this] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    timer_.ArmIn(kMillisecond);
  }).join();
  EXPECT_EQ(Collect(queue(), 1, 1).size(), 1);
}

TEST_F(OwnTable, MakesNoQueue) {
  ExpectRefused([](int) { return kevent_init(nullptr, 0, 0); });
}

TEST_F(OwnTable, IsToldOfNoMessagesNamesOrState) {
  const MessageQueue mq("own_table");
  ExpectRefused([&](int queue) {
    const sigevent request = Request(queue);
    return mq_notify(mq.id(), &request);
  });
  ExpectRefused([](int queue) {
    gaicb request = {};
    request.ar_name = "127.0.0.1";
    gaicb* list[] = {&request};
    sigevent notification = Request(queue);
    return getaddrinfo_a(GAI_NOWAIT, list, 1, &notification) == EAI_SYSTEM ? -1 : 0;
  });
  ExpectRefused([](int queue) { return kevent_dump(queue, STDERR_FILENO); });
}

// The number is of one file to the process, and of another to the thread.
TEST_F(OwnTable, BeginsNoOperations) {
  const TemporaryFile theirs;
  std::array<char, 4> bytes = {'m', 'i', 'n', 'e'};
  const auto on_own_file = [&](const std::function<int(aiocb*)>& begin) {
    ExpectRefused([&](int queue) {
      const TemporaryFile own;
      EXPECT_EQ(dup2(own.fd(), theirs.fd()), theirs.fd());
      static aiocb control;
      Prepare(&control, queue, theirs.fd(), bytes.data(), bytes.size());
      const int result = begin(&control);
      const int error = errno;
      while (result == 0 && ErrorOf(control) == EINPROGRESS) std::this_thread::yield();
      EXPECT_EQ(own.Read(), "");
      errno = error;
      return result;
    });
    EXPECT_EQ(theirs.Read(), "");
  };
  on_own_file([](aiocb* control) { return aio_write(control); });
  on_own_file([](aiocb* control) { return aio_read(control); });
  on_own_file([](aiocb* control) { return aio_fsync(O_SYNC, control); });
  for (const int mode : {LIO_WAIT, LIO_NOWAIT}) {
    on_own_file([mode](aiocb* control) {
      control->aio_lio_opcode = LIO_WRITE;
      aiocb* list[] = {control};
      return lio_listio(mode, list, 1, nullptr);
    });
  }
  // A list of the library's begins its other entries, too.
  on_own_file([](aiocb* control) {
    static aiocb nobodys;
    nobodys = *control;
    nobodys.aio_sigevent.sigev_notify = SIGEV_NONE;
    nobodys.aio_lio_opcode = LIO_WRITE;
    control->aio_lio_opcode = LIO_READ;
    aiocb* list[] = {control, &nobodys};
    return lio_listio(LIO_WAIT, list, 2, nullptr);
  });
  aiocb control;
  Prepare(&control, queue(), theirs.fd(), bytes.data(), bytes.size());
  ASSERT_EQ(aio_write(&control), 0);
  const std::vector<ukevent> events = Collect(queue(), 1, 1);
  ASSERT_EQ(events.size(), 1);
  ExpectCompletion(events[0], control, bytes.size());
  EXPECT_EQ(theirs.Read(), "mine");
}

TEST_F(OwnTable, CancelsNoOperations) {
  const Pipe pipe;
  std::array<char, 4> bytes;
  aiocb control;
  Prepare(&control, queue(), pipe.from(), bytes.data(), bytes.size());
  ASSERT_EQ(aio_read(&control), 0);
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    EXPECT_EQ(aio_cancel(pipe.from(), nullptr), AIO_ALLDONE);
    EXPECT_EQ(aio_cancel(pipe.from(), &control), AIO_NOTCANCELED);
  }).join();
  EXPECT_EQ(ErrorOf(control), EINPROGRESS);
  pipe.Put("here");
  const std::vector<ukevent> events = Collect(queue(), 1, 1);
  ASSERT_EQ(events.size(), 1);
  ExpectCompletion(events[0], control, bytes.size());
}

// It is a process of its own, whose queues are made anew in the table that it has.
TEST_F(OwnTable, IsAChildsThatItForks) {
  std::thread([this] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    ExpectChild([this] {
      const Timer timer(queue(), 2);
      timer.Expire();
      CHILD_CHECK(CollectReady(queue()) == std::vector<uintptr_t>{2});
      const int own = kevent_init(nullptr, 0, 0);
      CHILD_CHECK(own >= 0 && close(own) == 0);
    });
  }).join();
  timer_.Expire();
  EXPECT_EQ(Collect(queue(), 1, 1).size(), 1);
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

// ---- Tables when all queues are closed ------------------------------------------

// Runs in a thread that has left the table.
void InOwnTable(const std::function<void()>& body) {
  std::thread([&body] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    body();
  }).join();
}

// Makes a queue in a thread whose table is another than the library's threads', when those have
// ended.
int InitWhenThreadsHaveEnded() {
  int queue;
  while ((queue = kevent_init(nullptr, 0, 0)) < 0 && errno == EBADF) usleep(1'000);
  return queue;
}

void ExpectNoQueue() {
  errno = 0;
  EXPECT_EQ(kevent_init(nullptr, 0, 0), -1);
  EXPECT_EQ(errno, EBADF);
}

// An operation in flight whose queue is closed.
class Outliving {
 public:
  Outliving() {
    Queue queue;
    Prepare(control_.get(), queue.fd(), pipe_.from(), bytes_.data(), bytes_.size());
    EXPECT_EQ(aio_read(control_.get()), 0);
    queue.Close();
  }
  ~Outliving() { End(); }
  Outliving(const Outliving&) = delete;
  Outliving& operator=(const Outliving&) = delete;

  bool InFlight() const { return ErrorOf(*control_) == EINPROGRESS; }
  void End() {
    if (!InFlight()) return;
    pipe_.Put("done");
    while (InFlight()) usleep(1'000);
  }

 private:
  const Pipe pipe_;
  std::array<char, 4> bytes_;
  const std::unique_ptr<aiocb> control_ = std::make_unique<aiocb>();
};

TEST(ClosedQueues, KeepTheirTableWhileAnOperationIsInFlight) {
  Outliving operation;
  InOwnTable([&] {
    ExpectNoQueue();
    std::thread(&ExpectNoQueue).join();
  });
  {
    const Queue queue;  // in the table of the operation
    EXPECT_TRUE(CollectReady(queue.fd()).empty());
  }
  InOwnTable(&ExpectNoQueue);
  EXPECT_TRUE(operation.InFlight());
}

// Its copy of the table is older than the pipe with the lock.
TEST(ClosedQueues, KeepTheirTableFromAThreadThatHadLeftItBefore) {
  std::atomic<int> stage{0};
  std::thread thread([&] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    stage = 1;
    while (stage != 2) sched_yield();
    ExpectNoQueue();
  });
  while (stage != 1) sched_yield();
  const Outliving operation;
  stage = 2;
  thread.join();
}

TEST(ClosedQueues, KeepTheirTableAlthoughItsLockIsLost) {
  ExpectChild([] {
    const Outliving operation;
    CHILD_CHECK(syscall(SYS_close_range, 64, ~0U, 0) == 0);
    std::atomic<bool> refused{false};
    InOwnTable([&] { refused = kevent_init(nullptr, 0, 0) == -1 && errno == EBADF; });
    CHILD_CHECK(refused);
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0 && close(queue) == 0);
    refused = false;
    InOwnTable([&] {
      std::thread([&] { refused = kevent_init(nullptr, 0, 0) == -1 && errno == EBADF; }).join();
    });
    CHILD_CHECK(refused);
    refused = false;
    InOwnTable([&] { refused = kevent_init(nullptr, 0, 0) == -1 && errno == EBADF; });
    CHILD_CHECK(refused);
    _exit(0);
  });
}

// A thread that closes all of its own table closes its copy of what tells tables apart, and makes
// another thread then, which uses the numbers of the process's queue for files of its own.
TEST_F(OwnTable, IsThatOfTheThreadsThatItsThreadMakes) {
  const Queue queue;
  const Timer timer(queue.fd(), 1);
  InOwnTable([&] {
    ASSERT_EQ(close_range(3, ~0U, 0), 0);
    std::thread([&] {
      ExpectNoQueue();
      int own;
      do {
        own = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ASSERT_GE(own, 0);
      } while (own < queue.fd());
      ASSERT_EQ(own, queue.fd());
      ukevent event;
      EXPECT_EQ(kevent_get_events(own, 0, 1, nullptr, &event, 0), -1);
      EXPECT_EQ(close(own), 0);
      EXPECT_EQ(close_range(3, ~0U, 0), 0);
    }).join();
  });
  timer.Expire();
  EXPECT_TRUE(Readable(queue.fd()));
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{1});
}

// The maker of the queue has ended, and what tells tables apart was closed by a system call.
TEST(Makers, ThatHaveEndedLeaveTheTableToTheOthers) {
  const std::set<int> before = OpenDescriptors();
  std::optional<Queue> queue;
  std::thread([&queue] { queue.emplace(); }).join();
  InOwnTable([] {});
  const Timer timer(queue->fd(), 1);
  for (const int number : OpenDescriptors()) {
    if (before.contains(number)) continue;
    const std::string link = "/proc/self/fd/" + std::to_string(number);
    if (std::filesystem::read_symlink(link).string().starts_with("pipe:")) {
      ASSERT_EQ(syscall(SYS_close, number), 0);
    }
  }
  timer.ArmIn(kMillisecond);
  EXPECT_EQ(Collect(queue->fd(), 1, 8).size(), 1u);
  const int copy = dup(queue->fd());
  EXPECT_GE(copy, 0);
  queue->Close();
  timer.ArmIn(kMillisecond);
  EXPECT_EQ(Collect(copy, 1, 8).size(), 1u);
  EXPECT_EQ(close(copy), 0);
}

TEST(ClosedQueues, LeaveNothingBehindWhenTheThreadsHaveEnded) {
  { const Outliving once; }  // what asynchronous I/O opens for the process
  InOwnTable([] { EXPECT_EQ(close(InitWhenThreadsHaveEnded()), 0); });
  const std::set<int> before = OpenDescriptors();
  {
    Outliving operation;
    const std::set<int> meanwhile = OpenDescriptors();
    EXPECT_GT(meanwhile.size(), before.size());
  }
  while (OpenDescriptors() != before) usleep(1'000);
}

TEST(ClosedQueues, AreFollowedByThoseOfAnotherTable) {
  const TemporaryFile theirs;
  { const Outliving once; }
  InOwnTable([&] {
    const int queue = InitWhenThreadsHaveEnded();
    ASSERT_GE(queue, 0);
    const TemporaryFile own;
    ASSERT_EQ(dup2(own.fd(), theirs.fd()), theirs.fd());
    std::array<char, 4> bytes = {'m', 'i', 'n', 'e'};
    aiocb control;
    Prepare(&control, queue, theirs.fd(), bytes.data(), bytes.size());
    ASSERT_EQ(aio_write(&control), 0);
    const std::vector<ukevent> events = Collect(queue, 1, 1);
    ASSERT_EQ(events.size(), 1);
    ExpectCompletion(events[0], control, bytes.size());
    EXPECT_EQ(own.Read(), "mine");
    EXPECT_EQ(close(queue), 0);
  });
  EXPECT_EQ(theirs.Read(), "");
  EXPECT_EQ(close(InitWhenThreadsHaveEnded()), 0);
}

int ThreadsOfOperations() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    count += name == "kevent-ring" || name == "kevent-aio";
  }
  return count;
}

// How many threads two reads that wait take: an io_uring needs one, and they block in two.
int ThreadsOfTwoReads(int queue) {
  const Pipe pipes[2];
  std::array<aiocb, 2> controls;
  std::array<char, 2> bytes;
  int threads = 0;
  // In the second round the threads know whether they have an io_uring.
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 2; ++i) {
      Prepare(&controls[i], queue, pipes[i].from(), &bytes[i], 1);
      EXPECT_EQ(aio_read(&controls[i]), 0);
    }
    threads = ThreadsOfOperations();
    for (const Pipe& pipe : pipes) pipe.Put("x");
    EXPECT_EQ(Collect(queue, 2, 2).size(), 2);
  }
  return threads;
}

// The thread's copy of the table is older than the io_uring, whose number is nobody's there.
TEST(ClosedQueues, LeaveNoRingToAnotherTable) {
  ExpectChild([] {
    std::atomic<int> stage{0};
    int before = 0;
    int after = 0;
    std::thread thread([&] {
      CHILD_CHECK(unshare(CLONE_FILES) == 0);
      stage = 1;
      while (stage != 2) sched_yield();
      const int queue = InitWhenThreadsHaveEnded();
      after = ThreadsOfTwoReads(queue);
      CHILD_CHECK(close(queue) == 0);
    });
    while (stage != 1) sched_yield();
    {
      const Queue queue;
      before = ThreadsOfTwoReads(queue.fd());
    }
    stage = 2;
    thread.join();
    CHILD_CHECK(after == before);
  });
}

// The thread was told that it shares the table of the queues that there were.
TEST(ClosedQueues, AreNotWhatAThreadIsToldOfLater) {
  InOwnTable([] {});
  {
    const Queue queue;
    EXPECT_TRUE(CollectReady(queue.fd()).empty());
  }
  std::atomic<int> theirs{-1};
  std::atomic<bool> over{false};
  std::thread thread([&] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    const int queue = InitWhenThreadsHaveEnded();
    const Timer timer(queue, 1);
    theirs = queue;
    while (!over) sched_yield();
    timer.Expire();
    EXPECT_EQ(Collect(queue, 1, 1).size(), 1);
    EXPECT_EQ(close(queue), 0);
  });
  while (theirs < 0) sched_yield();
  ukevent event;
  EXPECT_EQ(kevent_get_events(theirs, 0, 1, nullptr, &event, 0), -1);
  EXPECT_EQ(errno, EBADF);
  const TemporaryFile file;
  std::array<char, 4> bytes = {'m', 'i', 'n', 'e'};
  aiocb control;
  Prepare(&control, theirs, file.fd(), bytes.data(), bytes.size());
  EXPECT_EQ(aio_write(&control), -1);
  EXPECT_EQ(errno, EBADF);
  ExpectNoQueue();
  // The number is another file here.
  ASSERT_EQ(dup2(file.fd(), theirs), theirs);
  EXPECT_EQ(close(theirs), 0);
  over = true;
  thread.join();
  EXPECT_EQ(close(InitWhenThreadsHaveEnded()), 0);
}

// ---- Epolls of the program's own -----------------------------------------------

// Counts what an epoll without members reports.
class Listener {
 public:
  explicit Listener(int epoll)
      : thread_([this, epoll] {
          while (!over_) {
            epoll_event event;
            // The wait may be interrupted, as beside a fork on a busy machine.
            if (epoll_wait(epoll, &event, 1, 1) > 0) ++reported_;
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
