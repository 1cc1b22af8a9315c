// SPDX-License-Identifier: MIT
//
// A hundred thousand timers with the limits of a normal user: signals would end
// at RLIMIT_SIGPENDING, timerfds at RLIMIT_NOFILE, SIGEV_THREAD at threads.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr size_t kTimers = 100'000;
// A handful: what the queue needs, and the queue.
constexpr size_t kDescriptors = 8;

class Scale : public testing::Test {
 protected:
  void SetUp() override {
    Limit(RLIMIT_NOFILE, 1024);
    Limit(RLIMIT_SIGPENDING, 1000);
    descriptors_ = OpenDescriptors().size();
    threads_ = ThreadCount();
  }

  static void Limit(__rlimit_resource resource, rlim_t most) {
    rlimit limit;
    ASSERT_EQ(getrlimit(resource, &limit), 0);
    limit.rlim_cur = std::min(limit.rlim_max, most);
    ASSERT_EQ(setrlimit(resource, &limit), 0);
  }

  void ExpectModesty() const {
    EXPECT_LE(OpenDescriptors().size(), descriptors_ + kDescriptors);
    EXPECT_EQ(ThreadCount(), threads_);
  }

  size_t descriptors_;
  size_t threads_;
};

// In an order unlike that of their creation: kStep and kTimers have no common
// divisor.
constexpr size_t Shuffled(size_t i) {
  constexpr size_t kStep = 61'803;
  return i * kStep % kTimers;
}

TEST_F(Scale, EachTimerIsCollectedExactlyOnce) {
  Queue queue;
  std::vector<Timer> timers;
  timers.reserve(kTimers);
  for (size_t i = 0; i < kTimers; ++i) timers.emplace_back(queue.fd(), 1'000'000 + i);
  ExpectModesty();

  // Some past, most to come while we arm and collect.
  const Nanos start = Now(CLOCK_MONOTONIC);
  std::vector<Nanos> deadlines(kTimers);
  for (size_t i = 0; i < kTimers; ++i) {
    const size_t which = Shuffled(i);
    deadlines[which] = start - kMillisecond + static_cast<Nanos>(i) * 3 * kMicrosecond;
    timers[which].ArmAt(deadlines[which]);
  }
  ExpectModesty();

  std::vector<int> collected(kTimers);
  for (size_t count = 0; count < kTimers;) {
    const std::vector<ukevent> events = Collect(queue.fd(), 1, 256);
    const Nanos now = Now(CLOCK_MONOTONIC);
    ASSERT_FALSE(events.empty());
    for (const ukevent& event : events) {
      const size_t which = Cookie(event) - 1'000'000;
      ASSERT_LT(which, kTimers);
      ASSERT_EQ(event.id.raw_u64, timers[which].id_bits());
      ASSERT_LE(deadlines[which], now) << "early";
      ASSERT_EQ(event.ret_data[0], 0u);
      ++collected[which];
    }
    count += events.size();
  }
  ExpectModesty();
  EXPECT_EQ(std::count(collected.begin(), collected.end(), 1), ptrdiff_t{kTimers});
  EXPECT_TRUE(CollectReady(queue.fd()).empty());
  EXPECT_FALSE(Readable(queue.fd()));
}

TEST_F(Scale, HandlesAreDistinctAndEndWithTheirTimers) {
  Queue queue;
  std::vector<uint64_t> ids;
  {
    std::vector<Timer> timers;
    timers.reserve(kTimers);
    for (size_t i = 0; i < kTimers; ++i) {
      timers.emplace_back(queue.fd(), i);
      ids.push_back(timers.back().id_bits());
      timers.back().ArmIn(kHour);
    }
  }
  ExpectModesty();
  for (const uint64_t id : ids) {
    itimerspec value;
    ASSERT_EQ(timer_gettime(reinterpret_cast<timer_t>(id), &value), -1);
    ASSERT_EQ(errno, EINVAL);
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
  EXPECT_TRUE(CollectReady(queue.fd()).empty());
}

#ifndef __SANITIZE_ADDRESS__  // whose allocator keeps what was freed
// Pages that are mapped, by proc(5).
size_t MappedPages() {
  size_t pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "re");
  EXPECT_TRUE(file != nullptr && std::fscanf(file, "%zu", &pages) == 1);
  if (file != nullptr) std::fclose(file);
  return pages;
}

TEST_F(Scale, WhatIsDeletedLeavesNoMemory) {
  constexpr size_t kFew = 10'000;
  size_t after_first = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 10; ++i) {
      Queue queue;
      std::vector<Timer> timers;
      timers.reserve(kFew);
      for (size_t j = 0; j < kFew; ++j) timers.emplace_back(queue.fd(), j);
      for (const Timer& timer : timers) timer.Expire();
      if (i % 2 == 0) CollectReady(queue.fd());
    }
    if (round == 0) after_first = MappedPages();
  }
  EXPECT_EQ(MappedPages(), after_first);
}
#endif

TEST_F(Scale, RepeatedExpirationOfAllIsCollectedEachTime) {
  constexpr size_t kFew = 10'000;
  Queue queue;
  std::vector<Timer> timers;
  timers.reserve(kFew);
  for (size_t i = 0; i < kFew; ++i) timers.emplace_back(queue.fd(), i);
  for (int round = 0; round < 5; ++round) {
    for (const Timer& timer : timers) timer.Expire();
    std::vector<uintptr_t> cookies = CollectReady(queue.fd());
    ASSERT_EQ(cookies.size(), kFew);
    std::sort(cookies.begin(), cookies.end());
    for (size_t i = 0; i < kFew; ++i) ASSERT_EQ(cookies[i], i);
  }
  ExpectModesty();
}

}  // namespace
}  // namespace kevent_test
