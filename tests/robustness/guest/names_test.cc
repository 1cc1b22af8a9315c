// SPDX-License-Identifier: MIT
//
// Queues whose descriptors are duplicated, replaced and closed in every way and
// in any order, with timers armed and threads asleep, against a table of what
// each number should be.  KEVENT_TEST_SEED in the environment chooses other runs.

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <random>

#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr int kFirst = 200;
constexpr int kNumbers = 8;
constexpr int kClosed = -1;
constexpr int kStranger = -2;

class Names {
 public:
  explicit Names(uint64_t seed) : random_(seed) { what_.fill(kClosed); }
  ~Names() {
    for (int i = 0; i < kNumbers; ++i) {
      if (what_[i] != kClosed) close(kFirst + i);
    }
  }

  void Step() {
    const int i = Any();
    switch (Below(8)) {
      case 0:
        return Make(i);
      case 1:
        return Duplicate(i, Any());
      case 2:
        return DuplicateUpwards(i);
      case 3:
        return Close(i);
      case 4:
        return CloseRange(i, Any());
      case 5:
        return Strange(i);
      default:
        return Sleep(i);
    }
  }

  // Each number names what it should, and no other.
  void Check() {
    for (int i = 0; i < kNumbers; ++i) {
      const int fd = kFirst + i;
      if (what_[i] < 0) {
        ukevent event;
        ASSERT_EQ(kevent_get_events(fd, 0, 1, nullptr, &event, 0), -1);
        ASSERT_EQ(errno, what_[i] == kClosed ? EBADF : EINVAL);
        continue;
      }
      const Timer& timer = *timers_[static_cast<size_t>(what_[i])];
      ASSERT_FALSE(Readable(fd));
      timer.Expire();
      for (int j = 0; j < kNumbers; ++j) {
        if (what_[j] >= 0) {
          ASSERT_EQ(Readable(kFirst + j), what_[j] == what_[i]);
        }
      }
      ASSERT_EQ(CollectReady(fd), std::vector<uintptr_t>{static_cast<uintptr_t>(what_[i])});
    }
  }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  int Any() { return static_cast<int>(Below(kNumbers)); }

  void Make(int i) {
    const int fd = kevent_init(nullptr, 0, 0);
    ASSERT_GE(fd, 0);
    timers_.push_back(std::make_unique<Timer>(fd, timers_.size()));
    ASSERT_EQ(dup2(fd, kFirst + i), kFirst + i);
    ASSERT_EQ(close(fd), 0);
    what_[i] = static_cast<int>(timers_.size()) - 1;
  }

  void Duplicate(int from, int to) {
    if (from == to) return;
    const int result = Below(2) == 0 ? dup2(kFirst + from, kFirst + to)
                                     : dup3(kFirst + from, kFirst + to, O_CLOEXEC);
    if (what_[from] == kClosed) {
      ASSERT_EQ(result, -1);
      ASSERT_EQ(errno, EBADF);
      return;
    }
    ASSERT_EQ(result, kFirst + to);
    what_[to] = what_[from];
  }

  void DuplicateUpwards(int from) {
    if (what_[from] == kClosed) return;
    const int command = Below(2) == 0 ? F_DUPFD : F_DUPFD_CLOEXEC;
    const int fd = fcntl(kFirst + from, command, kFirst);
    ASSERT_GE(fd, kFirst);
    if (fd < kFirst + kNumbers) {
      what_[fd - kFirst] = what_[from];
    } else {
      ASSERT_EQ(close(fd), 0);
    }
  }

  void Close(int i) {
    ASSERT_EQ(close(kFirst + i), what_[i] == kClosed ? -1 : 0);
    what_[i] = kClosed;
  }

  void CloseRange(int i, int j) {
    const int last = std::max(i, j);
    for (i = std::min(i, j), j = i; j <= last; ++j) what_[j] = kClosed;
    ASSERT_EQ(
        close_range(static_cast<unsigned>(kFirst + i), static_cast<unsigned>(kFirst + last), 0), 0);
  }

  void Strange(int i) {
    const int fd = eventfd(0, 0);
    ASSERT_EQ(dup2(fd, kFirst + i), kFirst + i);
    ASSERT_EQ(close(fd), 0);
    what_[i] = kStranger;
  }

  // A thread sleeps in a queue until its timer expires or its last name is gone.
  void Sleep(int i) {
    if (what_[i] < 0) return;
    const int queue = what_[i];
    std::atomic<int> result{-2};
    std::atomic<int> error{0};
    ukevent event = {};
    {
      const Thread sleeper([&] {
        result = kevent_get_events(kFirst + i, 1, 1, nullptr, &event, 0);
        error = errno;
      });
      sleeper.AwaitAsleep();
      if (Below(2) == 0) {
        for (int j = 0; j < kNumbers; ++j) {
          if (what_[j] == queue) Close(j);
        }
      } else {
        if (Below(2) == 0) Close(i);  // another name may be left
        if (std::count(what_.begin(), what_.end(), queue) != 0) {
          timers_[static_cast<size_t>(queue)]->ArmIn(1);
        }
      }
    }
    if (std::count(what_.begin(), what_.end(), queue) == 0) {
      ASSERT_EQ(result, -1);
      ASSERT_EQ(error, EBADF);
    } else {
      ASSERT_EQ(result, 1);
      ASSERT_EQ(Cookie(event), static_cast<uintptr_t>(queue));
    }
  }

  std::mt19937_64 random_;
  std::array<int, kNumbers> what_;              // the queue that each number names
  std::vector<std::unique_ptr<Timer>> timers_;  // one a queue
};

TEST(Names, AreWhatTheyShouldBeInEveryOrder) {
  const Watchdog watchdog;
  const char* chosen = std::getenv("KEVENT_TEST_SEED");
  const uint64_t first = chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
  for (uint64_t seed = first; seed < first + 40; ++seed) {
    Names names(seed);
    for (int step = 0; step < 60; ++step) {
      names.Step();
      names.Check();
      if (testing::Test::HasFatalFailure()) FAIL() << "KEVENT_TEST_SEED=" << seed << ", " << step;
    }
  }
}

}  // namespace
}  // namespace kevent_test
