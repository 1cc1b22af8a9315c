// SPDX-License-Identifier: MIT
//
// Handles: what a timer_t of ours can be, and that no other
// value is one.  That a slot is retired with its last generation is seen in
// tests/unit/timers_test.cc, which can put one there.

#include <limits.h>
#include <sys/syscall.h>

#include "tests/support/queue.h"

namespace kevent_test {
namespace {

timer_t FromBits(uint64_t bits) { return reinterpret_cast<timer_t>(bits); }

// Calls all five functions but timer_create on what is no timer.
void ExpectNoTimer(timer_t timer) {
  itimerspec value = Setting(kHour);
  EXPECT_TRUE(timer_settime(timer, 0, &value, nullptr) == -1 && errno == EINVAL) << timer;
  EXPECT_TRUE(timer_gettime(timer, &value) == -1 && errno == EINVAL) << timer;
  EXPECT_TRUE(timer_getoverrun(timer) == -1 && errno == EINVAL) << timer;
  EXPECT_TRUE(timer_delete(timer) == -1 && errno == EINVAL) << timer;
}

TEST(Handles, AreNeverAnythingThatThePlatformHas) {
  const Queue queue;
  std::vector<Timer> timers;
  for (int i = 0; i < 200; ++i) {
    timers.emplace_back(queue.fd(), 0);
    const uint64_t bits = timers.back().id_bits();
    EXPECT_GT(static_cast<int64_t>(bits), int64_t{INT_MAX});  // not negative either
    EXPECT_NE(bits & uint64_t{1} << 62, 0u);

    // Cut to an int, as old binaries do, it is no timer of the kernel's.
    const int cut = static_cast<int>(bits);
    EXPECT_LT(cut, 0);
    itimerspec value = Setting(kHour);
    EXPECT_TRUE(syscall(SYS_timer_settime, cut, 0, &value, nullptr) == -1 && errno == EINVAL);
    EXPECT_TRUE(syscall(SYS_timer_gettime, cut, &value) == -1 && errno == EINVAL);
    EXPECT_TRUE(syscall(SYS_timer_getoverrun, cut) == -1 && errno == EINVAL);
    EXPECT_TRUE(syscall(SYS_timer_delete, cut) == -1 && errno == EINVAL);
  }
}

// Bit 63 makes it one of the C library's, which are pointers.
TEST(Handles, WithAnyOtherBitAreNone) {
  const Queue queue;
  const Timer timer(queue.fd(), 0);
  timer.ArmAt(Now(CLOCK_MONOTONIC) + kHour);
  for (int bit = 0; bit < 63; ++bit) {
    SCOPED_TRACE(bit);
    ExpectNoTimer(FromBits(timer.id_bits() ^ uint64_t{1} << bit));
  }
  EXPECT_GT(ToNanos(timer.Get().it_value), 0);
  ExpectNoTimer(FromBits(uint64_t{1} << 62));
  ExpectNoTimer(FromBits(~uint64_t{0} >> 1));
}

TEST(Handles, AreStaleForEver) {
  const Queue queue;
  std::vector<timer_t> stale;
  for (int i = 0; i < 1'000; ++i) {
    Timer timer(queue.fd(), 0);
    stale.push_back(timer.id());
  }
  const Timer live(queue.fd(), 0);
  for (const timer_t timer : stale) {
    EXPECT_NE(timer, live.id());
    ExpectNoTimer(timer);
    // Nor what the generation of its slot has become by timer_delete.
    ExpectNoTimer(FromBits(reinterpret_cast<uint64_t>(timer) + (uint64_t{1} << 32)));
  }
}

TEST(Handles, OfOthersAreTheirs) {
  const Queue queue;
  const Timer timer(queue.fd(), 0);
  sigevent request = {};
  for (const int notify : {SIGEV_NONE, SIGEV_THREAD}) {
    request.sigev_notify = notify;
    request.sigev_notify_function = [](sigval) {};
    timer_t others;
    ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &request, &others), 0) << std::strerror(errno);
    EXPECT_EQ(reinterpret_cast<uint64_t>(others) & uint64_t{1} << 62, 0u);
    itimerspec value = Setting(kHour);
    EXPECT_EQ(timer_settime(others, 0, &value, nullptr), 0);
    EXPECT_EQ(timer_gettime(others, &value), 0);
    EXPECT_GT(ToNanos(value.it_value), 0);
    EXPECT_EQ(timer_getoverrun(others), 0);
    EXPECT_EQ(timer_delete(others), 0);
  }
}

}  // namespace
}  // namespace kevent_test
