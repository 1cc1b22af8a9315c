// SPDX-License-Identifier: MIT
//
// kevent_settime with timers of queues and of the kernel, and by several threads at once.

#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <vector>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

kevent_setting Entry(timer_t timer, int flags, Nanos value) {
  return {timer, flags, -1, Setting(value)};
}

// A timer of the kernel's that tells nobody.
class KernelTimer {
 public:
  KernelTimer() {
    sigevent event = {};
    event.sigev_notify = SIGEV_NONE;
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &id_), 0);
  }
  ~KernelTimer() { timer_delete(id_); }
  timer_t id() const { return id_; }
  Nanos remaining() const {
    itimerspec value;
    EXPECT_EQ(timer_gettime(id_, &value), 0);
    return ToNanos(value.it_value);
  }

 private:
  timer_t id_ = nullptr;
};

TEST(Settings, TimersOfTheKernelAreSetAmongTheOthers) {
  const Queue queue;
  const Timer first(queue.fd(), 1);
  const Timer last(queue.fd(), 2);
  const KernelTimer kernels;
  kevent_setting bad = Entry(kernels.id(), 0, kHour);
  bad.value.it_value.tv_nsec = -1;
  std::array<kevent_setting, 5> settings = {
      Entry(first.id(), TIMER_ABSTIME, 1), Entry(kernels.id(), 0, kHour), bad,
      Entry(kernels.id(), 0, 2 * kHour), Entry(last.id(), TIMER_ABSTIME, 1)};
  errno = 77;
  EXPECT_EQ(kevent_settime(settings.size(), settings.data()), 4);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(settings[2].error, EINVAL);
  EXPECT_GT(kernels.remaining(), kHour);
  EXPECT_EQ(CollectReady(queue.fd()), (std::vector<uintptr_t>{1, 2}));
}

TEST(Settings, BadArguments) {
  EXPECT_EQ(kevent_settime(0, nullptr), 0);
  EXPECT_EQ(kevent_settime(1, nullptr), -1);
  EXPECT_EQ(errno, EFAULT);
}

// Each thread sets each of its timers when it was reported: none is lost, none comes twice, and a
// thread that sleeps is woken for what another one sets.
TEST(Settings, BySeveralThreads) {
  constexpr size_t kThreads = 3;
  constexpr size_t kTimers = 100;  // of each
  constexpr uint64_t kTurns = 50;
  const Queue queue;
  std::vector<Timer> timers;
  for (uintptr_t i = 0; i < kThreads * kTimers; ++i) timers.emplace_back(queue.fd(), i);
  std::array<std::atomic<uint64_t>, kThreads> reported = {};
  std::array<std::atomic<uint64_t>, kThreads* kTimers> times = {};

  std::list<Thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<kevent_setting> settings;
      for (size_t i = 0; i < kTimers; ++i) {
        settings.push_back(
            Entry(timers[t * kTimers + i].id(), 0, 1 + static_cast<Nanos>(i) * 1000));
      }
      for (uint64_t turn = 1; turn <= kTurns; ++turn) {
        ASSERT_EQ(kevent_settime(kTimers, settings.data()), static_cast<int>(kTimers));
        for (uint64_t seen; (seen = reported[t].load()) < turn * kTimers;) reported[t].wait(seen);
      }
    });
  }
  std::array<ukevent, 64> events;
  for (uint64_t all = 0; all < kThreads * kTimers * kTurns;) {
    const int count = kevent_get_events(queue.fd(), 1, events.size(), nullptr, events.data(), 0);
    ASSERT_GT(count, 0);
    all += static_cast<uint64_t>(count);
    for (int i = 0; i < count; ++i) {
      const uintptr_t cookie = Cookie(events[static_cast<size_t>(i)]);
      times[cookie].fetch_add(1);
      std::atomic<uint64_t>& sum = reported[cookie / kTimers];
      sum.fetch_add(1);
      sum.notify_all();
    }
  }
  threads.clear();
  for (const auto& count : times) EXPECT_EQ(count.load(), kTurns);
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{});
}

}  // namespace
}  // namespace kevent_test
