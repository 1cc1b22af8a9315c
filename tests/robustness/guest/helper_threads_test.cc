// SPDX-License-Identifier: MIT
//
// Threads of the library's own: as what they run, whoever happened to have them
// made, and that they go when they have nothing to do.

#include <netdb.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

// ---- Those that there are -----------------------------------------------------------

// What /proc has of a thread, by the names of its lines; without what is gone meanwhile.
std::map<std::string, std::string> Status(int thread) {
  std::map<std::string, std::string> status;
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    if (value != std::string::npos) status[line.substr(0, colon)] = line.substr(value);
  }
  return status;
}

std::map<std::string, int> Helpers() {
  std::map<std::string, int> helpers;
  for (const int thread : NumbersIn("/proc/self/task")) {
    const std::string name = Status(thread)["Name"];
    if (name.rfind("kevent-", 0) == 0) helpers[name] = thread;
  }
  return helpers;
}

void AwaitNoHelpers() {
  while (!Helpers().empty()) usleep(10'000);
}

// One of each kind, with something to do: a timer on CPU time, a read by the ring, one
// by a thread that blocks.
class Work {
 public:
  explicit Work(int queue) {
    timer_.emplace_back(queue, 1, CLOCK_PROCESS_CPUTIME_ID);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_.data()), 0);
    const timeval hour = {3600, 0};
    setsockopt(sockets_[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour);
    Prepare(&reads_[0], queue, pipe_.from(), &bytes_[0], 1);
    Prepare(&reads_[1], queue, sockets_[0], &bytes_[1], 1);
    for (aiocb& read : reads_) EXPECT_EQ(aio_read(&read), 0) << std::strerror(errno);
  }
  ~Work() {
    close(sockets_[0]);
    close(sockets_[1]);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  void End(int queue) {
    pipe_.Put("a");
    EXPECT_EQ(write(sockets_[1], "b", 1), 1);
    EXPECT_EQ(Collect(queue, 2, 2).size(), 2);
    timer_.clear();
  }

 private:
  std::vector<Timer> timer_;
  Pipe pipe_;
  std::array<int, 2> sockets_;
  std::vector<aiocb> reads_ = std::vector<aiocb>(2);
  std::array<char, 2> bytes_;
};

// ---- As what they run ---------------------------------------------------------------

// What a thread may have done to itself before it makes the first timer.
struct Maker {
  const char* name;
  int policy;
  int priority;
};

class HelperThreads : public testing::TestWithParam<Maker> {};

TEST_P(HelperThreads, AreWhatTheyAreWhoeverHasThemMade) {
  ExpectChild([] {
    alarm(250);
    cpu_set_t all;
    CHILD_CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    const int nice_value = getpriority(PRIO_PROCESS, 0);
    const Queue queue;
    std::atomic<bool> allowed{false};
    std::unique_ptr<Work> work;
    {
      const Thread maker([&] {
        cpu_set_t last;
        CPU_ZERO(&last);
        for (int cpu = CPU_SETSIZE - 1; CPU_COUNT(&last) == 0; --cpu) {
          if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &last);
        }
        sched_param parameter = {};
        parameter.sched_priority = GetParam().priority;
        prctl(PR_SET_NAME, "maker");
        sigset_t none;
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, nullptr);
        allowed = sched_setaffinity(0, sizeof last, &last) == 0 &&
                  sched_setscheduler(0, GetParam().policy, &parameter) == 0 &&
                  (geteuid() != 0 || setpriority(PRIO_PROCESS, 0, nice_value + 1) == 0);
        // Back from this one takes a privilege.
        if (GetParam().policy == SCHED_IDLE && geteuid() != 0) allowed = false;
        work = std::make_unique<Work>(queue.fd());
      });
    }
    std::map<std::string, int> helpers = Helpers();
    CHILD_CHECK(helpers.count("kevent-timers") == 1 && helpers.count("kevent-aio") == 1);
    // None but these and the caller: what io_uring has made is the kernel's.
    size_t others = 0;
    for (const int thread : NumbersIn("/proc/self/task")) {
      const std::string name = Status(thread)["Name"];
      others += name.rfind("kevent-", 0) != 0 && name.rfind("iou-", 0) != 0;
    }
    CHILD_CHECK(others == 1);
    for (const auto& [name, thread] : helpers) {
      if (allowed) {
        // One of real-time scheduling has it until it has told its maker that it is there.
        while (sched_getscheduler(thread) != SCHED_OTHER) usleep(1000);
        while (getpriority(PRIO_PROCESS, static_cast<id_t>(thread)) != nice_value) usleep(1000);
      }
      cpu_set_t cpus;
      CHILD_CHECK(sched_getaffinity(thread, sizeof cpus, &cpus) == 0);
      CHILD_CHECK(CPU_EQUAL(&cpus, &all));
      // All but that of setuid, the second of those that the C library has; and the first,
      // while the thread sleeps for it.
      const std::string blocked = Status(thread)["SigBlk"];
      const uint64_t unblocked = ~std::stoull(blocked, nullptr, 16);
      constexpr uint64_t kNeverBlocked = uint64_t{1} << (SIGKILL - 1) | uint64_t{1}
                                                                            << (SIGSTOP - 1);
      constexpr uint64_t kSleptFor = uint64_t{1} << 31;
      CHILD_CHECK((unblocked & ~kNeverBlocked & ~kSleptFor) == uint64_t{1} << 32);
    }
    work->End(queue.fd());
    CHILD_CHECK(!testing::Test::HasFailure());
  });
}

INSTANTIATE_TEST_SUITE_P(By, HelperThreads,
                         testing::Values(Maker{"Usual", SCHED_OTHER, 0},
                                         Maker{"Idle", SCHED_IDLE, 0},
                                         Maker{"Batch", SCHED_BATCH, 0},
                                         Maker{"RealTime", SCHED_FIFO, 1},
                                         Maker{"ResetOnFork", SCHED_RR | SCHED_RESET_ON_FORK, 1}),
                         [](const auto& info) { return std::string(info.param.name); });

// Their stacks are no burden, however large those of the program's threads are.
TEST(HelperThread, HasASmallStack) {
  ExpectChild([] {
    alarm(250);
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, size_t{512} << 20);
    CHILD_CHECK(pthread_setattr_default_np(&large) == 0);
    const Queue queue;
    const auto pages = [] {
      size_t count = 0;
      std::ifstream("/proc/self/statm") >> count;
      return count;
    };
    const size_t before = pages();
    Work work(queue.fd());
    const size_t after = pages();
    CHILD_CHECK((after - before) * 4096 < size_t{256} << 20);
    work.End(queue.fd());
  });
}

// ---- That they go -------------------------------------------------------------------

TEST(HelperThread, GoesWhenThereIsNothingToDo) {
  ExpectChild([] {
    alarm(250);
    const Queue queue;
    for (int round = 0; round < 2; ++round) {
      Work work(queue.fd());
      CHILD_CHECK(Helpers().size() >= 2);
      work.End(queue.fd());
      AwaitNoHelpers();
    }
  });
}

TEST(HelperThread, OfTimersGoesWhenTheirQueueIsClosed) {
  ExpectChild([] {
    alarm(250);
    std::vector<Timer> timers;
    {
      const Queue queue;
      timers.emplace_back(queue.fd(), 1, CLOCK_PROCESS_CPUTIME_ID);
      timers.emplace_back(queue.fd(), 2, CLOCK_THREAD_CPUTIME_ID);
      CHILD_CHECK(Helpers().count("kevent-timers") == 1);
    }
    AwaitNoHelpers();
  });
}

void* EndsLater(void*) {
  usleep(10'000);
  return nullptr;
}

// A process ends with the last thread of the program's.
template <typename Use>
void ExpectEndOfProcess(Use use) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(250);
    use();
    pthread_t other;
    pthread_create(&other, nullptr, &EndsLater, nullptr);
    pthread_detach(other);
    syscall(SYS_exit, 0);  // of this thread: pthread_exit would end gtest's frames
  }
  EXPECT_EQ(ExitStatus(child), 0);
}

TEST(HelperThread, KeepsNoProcess) {
  ExpectEndOfProcess([] {
    static aiocb controls[2];
    static char byte;
    const int queue = kevent_init(nullptr, 0, 0);
    int ends[2];
    CHILD_CHECK(pipe(ends) == 0);
    for (int i = 0; i < 2; ++i) {
      Prepare(&controls[i], queue, ends[1 - i], &byte, 1);
      CHILD_CHECK((i == 0 ? aio_write : aio_read)(&controls[i]) == 0);
    }
    static gaicb request;
    request.ar_name = "127.0.0.1";
    gaicb* list[] = {&request};
    sigevent notification;
    kevent_sigevent(&notification, queue, nullptr);
    CHILD_CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, &notification) == 0);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &notification, &timer) == 0);
    CHILD_CHECK(timer_delete(timer) == 0);
  });
}

// The ring's thread sleeps with nothing but an operation that waits for one of the pool's,
// which is taken back.
template <typename TakeBack>
void TakenBackKeepsNoProcess(TakeBack take_back) {
  ExpectEndOfProcess([take_back] {
    static aiocb controls[2];
    static char byte;
    const int queue = kevent_init(nullptr, 0, 0);
    int ends[2];
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    const timeval hour = {3600, 0};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour);
    for (aiocb& control : controls) Prepare(&control, queue, ends[0], &byte, 1);
    CHILD_CHECK(aio_read(&controls[0]) == 0 && aio_fsync(O_SYNC, &controls[1]) == 0);
    const std::map<std::string, int> helpers = Helpers();
    if (const auto ring = helpers.find("kevent-ring"); ring != helpers.end()) {
      while (Status(ring->second)["State"][0] != 'S') usleep(1000);
    }
    take_back(ends[0], &controls[1]);
    CHILD_CHECK(aio_error(&controls[1]) == ECANCELED);
    CHILD_CHECK(write(ends[1], "x", 1) == 1);
    ukevent events[2];
    CHILD_CHECK(kevent_get_events(queue, 2, 2, nullptr, events, 0) == 2);
  });
}

TEST(HelperThread, KeepsNoProcessForWhatWasCancelled) {
  TakenBackKeepsNoProcess(
      [](int fd, aiocb* sync) { CHILD_CHECK(aio_cancel(fd, sync) == AIO_CANCELED); });
}

TEST(HelperThread, KeepsNoProcessForWhatHasLostItsFile) {
  // The copy keeps the socket for the write that follows, if the read has yet to begin.
  TakenBackKeepsNoProcess([](int fd, aiocb*) { CHILD_CHECK(dup(fd) >= 0 && close(fd) == 0); });
}

// ---- That nothing is lost when they do ----------------------------------------------

// Work that comes about when a thread goes: some of many come while it does.
template <typename UseOnce>
void AroundItsEnd(UseOnce use_once) {
  constexpr int kProcesses = 24;
  constexpr int kRounds = 3;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(250);
      const int queue = kevent_init(nullptr, 0, 0);
      for (int round = 0; round < kRounds; ++round) {
        use_once(queue);
        // From 1.2 ms before a second has passed to as much after it.
        const long nanoseconds = 998'800'000 + i * 100'000;
        const timespec pause = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
        nanosleep(&pause, nullptr);
      }
      use_once(queue);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) EXPECT_EQ(ExitStatus(child), 0);
}

TEST(HelperThread, OfTheRingOrThePoolLosesNothingWhenItGoes) {
  AroundItsEnd([](int queue) {
    int own[2];
    CHILD_CHECK(pipe(own) == 0);
    static aiocb controls[2];
    char byte = 0;
    Prepare(&controls[0], queue, own[0], &byte, 1);
    Prepare(&controls[1], queue, own[1], &byte, 1);
    CHILD_CHECK(aio_read(&controls[0]) == 0 && aio_write(&controls[1]) == 0);
    ukevent events[2];
    CHILD_CHECK(kevent_get_events(queue, 2, 2, nullptr, events, 0) == 2);
    close(own[0]);
    close(own[1]);
  });
}

TEST(HelperThread, OfNotificationsLosesNoneWhenItGoes) {
  AroundItsEnd([](int queue) {
    static std::atomic<int> s_told;
    s_told = 0;
    int own[2];
    CHILD_CHECK(pipe(own) == 0);
    static aiocb read;
    char byte = 0;
    Prepare(&read, queue, own[0], &byte, 1);
    read.aio_lio_opcode = LIO_READ;
    read.aio_sigevent = {};
    read.aio_sigevent.sigev_notify = SIGEV_THREAD;
    read.aio_sigevent.sigev_notify_function = [](sigval) { ++s_told; };
    aiocb* list[] = {&read};
    sigevent notification;
    kevent_sigevent(&notification, queue, nullptr);
    CHILD_CHECK(lio_listio(LIO_NOWAIT, list, 1, &notification) == 0);
    CHILD_CHECK(Helpers().count("kevent-tell") == 1);
    CHILD_CHECK(write(own[1], "x", 1) == 1);
    // The list is done after its member, which has its thread by then.
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.type == KEVENT_LIO);
    while (s_told != 1) usleep(1000);
    close(own[0]);
    close(own[1]);
  });
}

TEST(HelperThread, OfTimersLosesNothingWhenItGoes) {
  AroundItsEnd([](int queue) {
    sigevent notification;
    kevent_sigevent(&notification, queue, nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &notification, &timer) == 0);
    const itimerspec soon = {{0, 0}, {0, 100'000}};
    CHILD_CHECK(timer_settime(timer, 0, &soon, nullptr) == 0);
    ukevent event;
    const timespec at_once = {0, 0};
    while (kevent_get_events(queue, 1, 1, &at_once, &event, 0) == 0) {
    }
    // Again, while all sleep that could look by themselves.
    CHILD_CHECK(timer_settime(timer, 0, &soon, nullptr) == 0);
    pollfd descriptor = {queue, POLLIN, 0};
    std::atomic<bool> over{false};
    std::thread burner([&over] {
      while (!over) {
      }
    });
    // In vain, perhaps: by the thread that tells only now of what was collected above.
    do {
      CHILD_CHECK(poll(&descriptor, 1, -1) == 1);
    } while (kevent_get_events(queue, 1, 1, &at_once, &event, 0) == 0);
    over = true;
    burner.join();
    CHILD_CHECK(timer_delete(timer) == 0);
  });
}

}  // namespace
}  // namespace kevent_test
