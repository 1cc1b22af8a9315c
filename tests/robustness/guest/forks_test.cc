// SPDX-License-Identifier: MIT
//
// fork and what is like it, out of a process that is busy in the library.

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

extern char** environ;

namespace kevent_test {
namespace {

class Forks : public testing::Test {
 private:
  Watchdog watchdog_;
};

// In a child: the inherited queue is empty, and timers can be made at once.
void UseInherited(int queue) {
  ukevent event;
  CHILD_CHECK(kevent_get_events(queue, 0, 1, nullptr, &event, 0) == 0);
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  timer_t timer;
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
  const itimerspec past = {{0, 0}, {0, 1}};
  CHILD_CHECK(timer_settime(timer, TIMER_ABSTIME, &past, nullptr) == 0);
  CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
  CHILD_CHECK(timer_delete(timer) == 0);
  CHILD_CHECK(close(queue) == 0);
}

// Threads that arm, collect, make and delete, until they go out of scope; what
// is armed is reported once and is armed again then.
class Busy {
 public:
  Busy()
      : armers_([this] { Arm(); }),
        collector_([this] { Collect(); }),
        maker_([this] { MakeAndDelete(); }) {}
  ~Busy() {
    over_ = true;
    armers_.Join();
    maker_.Join();
    release_.Expire();
    collector_.Join();
    for (size_t i = 0; i < kTimers; ++i) EXPECT_EQ(reported_[i], armed_[i]) << "timer " << i;
  }

  int queue() const { return queue_.fd(); }
  uint64_t reported() const { return reported_[0]; }

 private:
  static constexpr size_t kTimers = 4;
  static constexpr uintptr_t kRelease = 99;

  void Arm() {
    while (!over_) {
      for (size_t i = 0; i < kTimers; ++i) {
        if (reported_[i] != armed_[i]) continue;
        ++armed_[i];
        timers_[i].ArmIn(i == 0 ? 1 : kMillisecond / 10);
      }
    }
    for (size_t i = 0; i < kTimers; ++i) {
      while (reported_[i] != armed_[i]) sched_yield();
    }
  }

  void Collect() {
    std::array<ukevent, 4> events;
    for (bool released = false; !released;) {
      const int n = kevent_get_events(queue_.fd(), 1, 4, nullptr, events.data(), 0);
      for (int i = 0; i < n; ++i) {
        const uintptr_t cookie = Cookie(events[i]);
        if (cookie == kRelease) {
          released = true;
        } else {
          ++reported_[cookie];
        }
      }
    }
  }

  void MakeAndDelete() {
    while (!over_) {
      const Queue other;
      const Timer timer(other.fd(), 1);
      timer.ArmIn(kHour);
      const Timer one_more(queue_.fd(), 1);
    }
  }

  const Queue queue_;
  std::vector<Timer> timers_ = MakeTimers();
  const Timer release_{queue_.fd(), kRelease};
  std::array<std::atomic<uint64_t>, kTimers> armed_{};
  std::array<std::atomic<uint64_t>, kTimers> reported_{};
  std::atomic<bool> over_{false};
  Thread armers_;
  Thread collector_;
  Thread maker_;

  std::vector<Timer> MakeTimers() const {
    std::vector<Timer> timers;
    for (uintptr_t i = 0; i < kTimers; ++i) timers.emplace_back(queue_.fd(), i);
    return timers;
  }
};

TEST_F(Forks, ThousandsOfTimesOutOfBusyThreads) {
  const int forks = std::getenv("KEVENT_LONG") == nullptr ? 1'000 : 10'000;
  const Busy busy;
  for (int i = 0; i < forks && !HasFailure(); ++i) {
    ExpectChild([&] { UseInherited(busy.queue()); }, i % 2 == 0 ? fork : _Fork);
  }
  const uint64_t before = busy.reported();
  while (busy.reported() == before) sched_yield();
}

// Of a child of which the C library knows nothing it has a wrong thread id.
pid_t CloneItself() { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

// A child of _Fork has been made while its parent made a descriptor, perhaps; it is not to
// wait for that.
TEST_F(Forks, AChildWithoutHandlersReplacesDescriptorsAtOnce) {
  std::atomic<bool> over{false};
  Thread maker([&] {
    while (!over) close(kevent_init(nullptr, 0, 0));
  });
  constexpr unsigned kLessThanOneWait = 9;  // seconds
  for (int i = 0; i < 200; ++i) {
    ExpectChild(
        [] {
          alarm(kLessThanOneWait);
          CHILD_CHECK(dup2(STDERR_FILENO, 100) == 100);
          CHILD_CHECK(close_range(100, 100, 0) == 0);
        },
        _Fork);
  }
  over = true;
  maker.Join();
}

// No handler prepares a child of _Fork; its threads may come all at once.
TEST_F(Forks, ChildOfForkWithoutHandlersWhoseThreadsComeAtOnce) {
  const Queue one;
  const Queue other;
  for (int i = 0; i < 200 && !HasFailure(); ++i) {
    ExpectChild(
        [&] {
          std::atomic<int> ready{0};
          const auto use = [&ready](int queue) {
            ++ready;
            while (ready < 3) {
            }
            UseInherited(queue);
          };
          {
            const Thread first([&] { use(one.fd()); });
            const Thread second([&] { use(other.fd()); });
            ++ready;
            while (ready < 3) {
            }
            const int own = kevent_init(nullptr, 0, 0);
            CHILD_CHECK(own >= 0);
            UseInherited(own);
          }
        },
        i % 2 == 0 ? _Fork : CloneItself);
  }
}

// What the parent has put under an internal number, closed by a system call
// that the library does not see, stays open in the child.
TEST_F(Forks, LeaveStrangersUnderInternalNumbersAlone) {
  const std::set<int> before = OpenDescriptors();
  Queue queue;
  std::vector<int> internal;
  for (const int fd : OpenDescriptors()) {
    if (before.count(fd) == 0 && fd != queue.fd()) internal.push_back(fd);
  }
  ASSERT_GE(internal.size(), 3);
  for (const int fd : internal) {
    syscall(SYS_close, fd);
    ASSERT_EQ(syscall(SYS_dup3, STDERR_FILENO, fd, 0), fd);
  }
  ExpectChild([&] {
    const int own = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(own >= 0);
    for (const int fd : internal) CHILD_CHECK(syscall(SYS_fcntl, fd, F_GETFD) == 0);
    UseInherited(own);
  });
  for (const int fd : internal) EXPECT_EQ(syscall(SYS_close, fd), 0);
}

TEST_F(Forks, ProgramsThatAreSpawnedAndExecuted) {
  const Busy busy;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(WEXITSTATUS(system("exit 3")), 3);
    pid_t child;
    const char* arguments[] = {"true", nullptr};
    ASSERT_EQ(
        posix_spawnp(&child, "true", nullptr, nullptr, const_cast<char**>(arguments), environ), 0);
    EXPECT_EQ(ExitStatus(child), 0);
  }
  // Nothing that is open there is of ours.
  EXPECT_EQ(system("! ls -l /proc/self/fd | grep -E 'timerfd|eventpoll| 7[67][0-9] ->'"), 0);
}

TEST_F(Forks, Daemon) {
  const Busy busy;
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ExpectChild([&] {
    CHILD_CHECK(daemon(1, 1) == 0);  // a child of this child from here on
    UseInherited(busy.queue());
    CHILD_CHECK(write(pipe[1], "!", 1) == 1);
  });
  char done;
  EXPECT_EQ(read(pipe[0], &done, 1), 1);
  close(pipe[0]);
  close(pipe[1]);
}

// A child of vfork closes everything, and becomes another program.
TEST_F(Forks, VforkChildThatClosesAll) {
  const Busy busy;
  for (int i = 0; i < 50; ++i) {
    const pid_t child = vfork();
    if (child == 0) {
      close(busy.queue());
      close_range(3, ~0U, 0);
      execlp("true", "true", nullptr);
      _exit(127);
    }
    EXPECT_EQ(ExitStatus(child), 0);
  }
  const uint64_t before = busy.reported();
  while (busy.reported() == before) sched_yield();
}

// Its cost is that of the page tables alone: what is wiped is not copied.
TEST_F(Forks, WithAMillionTimers) {
  constexpr size_t kTimers = 1'000'000;
  const auto minor_faults = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const Queue queue;
  std::vector<Timer> timers;
  timers.reserve(kTimers);
  for (size_t i = 0; i < kTimers; ++i) timers.emplace_back(queue.fd(), i);
  for (const Timer& timer : timers) timer.ArmIn(kHour);
  EXPECT_TRUE(CollectReady(queue.fd()).empty());
  const Nanos begin = Now(CLOCK_MONOTONIC);
  ExpectChild([&] {
    const long before = minor_faults();
    UseInherited(queue.fd());
    const long faults = minor_faults() - before;
    dprintf(STDOUT_FILENO, "%ld page faults in the child\n", faults);
    CHILD_CHECK(faults < 2'000);  // of some 40 000 pages
  });
  std::printf("fork, use and exit among a million timers: %lld us\n",
              static_cast<long long>((Now(CLOCK_MONOTONIC) - begin) / 1000));
  EXPECT_GT(ToNanos(timers.back().Get().it_value), 0);
}

// Timers outlive the thread that made them.
TEST_F(Forks, ThreadsThatEndLeaveTheirTimersArmed) {
  const Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < 100; ++i) {
    const Thread thread([&] {
      timers.emplace_back(queue.fd(), i);
      timers.back().ArmIn(kMillisecond);
    });
  }
  size_t collected = 0;
  std::array<ukevent, 16> events;
  while (collected < timers.size()) {
    const int n = kevent_get_events(queue.fd(), 1, 16, nullptr, events.data(), 0);
    ASSERT_GT(n, 0);
    collected += static_cast<size_t>(n);
  }
  EXPECT_EQ(collected, timers.size());
  EXPECT_TRUE(CollectReady(queue.fd()).empty());
}

}  // namespace
}  // namespace kevent_test
