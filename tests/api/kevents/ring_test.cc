// SPDX-License-Identifier: MIT
//
// The ring: kevent_init with one, kevent_wait and kevent_commit.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

constexpr unsigned kSize = 8;

class RingTest : public testing::Test {
 protected:
  RingTest()
      : ring_(static_cast<kevent_ring*>(
            std::calloc(1, sizeof(kevent_ring) + kSize * sizeof(ukevent)))),
        fd_(kevent_init(ring_, kSize, 0)) {
    EXPECT_GE(fd_, 0);
    for (uint64_t id = 0; id < 20; ++id) EXPECT_EQ(Add(fd_, User(id)), 0);
  }
  ~RingTest() override {
    close(fd_);
    std::free(ring_);
  }

  static ukevent User(uint64_t id) { return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT); }
  void Ready(uint64_t first, uint64_t last) const {
    for (uint64_t id = first; id <= last; ++id) EXPECT_TRUE(Inject(fd_, User(id)));
  }
  int Wait(unsigned num, unsigned old_uidx = 0, Nanos timeout = 0) const {
    const timespec patience = ToTimespec(timeout);
    return kevent_wait(fd_, num, old_uidx, &patience, 0);
  }

  kevent_ring* const ring_;
  const int fd_;
};

TEST_F(RingTest, EventsLieInTheRingInTheirOrder) {
  Ready(0, 4);
  EXPECT_EQ(Wait(3), 3);
  EXPECT_EQ(ring_->ring_kidx, 3);
  EXPECT_EQ(Wait(kSize), 2);
  EXPECT_EQ(ring_->ring_kidx, 5);
  EXPECT_EQ(ring_->ring_over, 0);
  for (uint64_t id = 0; id < 5; ++id) EXPECT_EQ(ring_->event[id].id.raw_u64, id);
  EXPECT_EQ(Wait(kSize), 0);
}

TEST_F(RingTest, AFullRingKeepsTheRestInTheQueue) {
  Ready(0, 11);
  EXPECT_EQ(Wait(kSize), kSize);
  EXPECT_EQ(Wait(kSize), 0);
  EXPECT_EQ(Wait(kSize, 0, kMillisecond), 0);  // and sleeps no less for it
  EXPECT_EQ(kevent_commit(fd_, 2, 0), 2);
  EXPECT_EQ(Wait(kSize, 2), 2);
  EXPECT_EQ(ring_->ring_kidx, 2);
  EXPECT_EQ(ring_->event[0].id.raw_u64, 8);
  EXPECT_EQ(ring_->event[1].id.raw_u64, 9);
  // All of a full ring at once.
  EXPECT_EQ(kevent_commit(fd_, 2, 0), kSize);
  EXPECT_EQ(ring_->ring_over, 1);
  EXPECT_EQ(Wait(kSize, 2), 2);
  EXPECT_EQ(ring_->event[3].id.raw_u64, 11);
}

TEST_F(RingTest, ItGoesRound) {
  uint64_t next = 0;
  unsigned index = 0;
  for (int lap = 0; lap < 50; ++lap) {
    Ready(0, 4);
    EXPECT_EQ(Wait(kSize, index), 5);
    for (unsigned i = 0; i < 5; ++i) {
      EXPECT_EQ(ring_->event[(index + i) % kSize].id.raw_u64, next++ % 5);
    }
    index = (index + 5) % kSize;
    EXPECT_EQ(ring_->ring_kidx, index);
    EXPECT_EQ(kevent_commit(fd_, index, ring_->ring_over), 5);
  }
  EXPECT_EQ(ring_->ring_over, 50 * 5 / kSize);
}

TEST_F(RingTest, CommitsThatCannotBe) {
  const auto error = [this](unsigned index, unsigned over) {
    return kevent_commit(fd_, index, over) == -1 ? errno : 0;
  };
  Ready(0, 2);
  EXPECT_EQ(Wait(kSize), 3);
  EXPECT_EQ(error(kSize, 0), EINVAL);
  EXPECT_EQ(error(4, 0), EINVAL);
  EXPECT_EQ(error(1, 1), EOVERFLOW);
  EXPECT_EQ(error(1, 77), EOVERFLOW);
  EXPECT_EQ(kevent_commit(fd_, 3, 0), 3);
  EXPECT_EQ(kevent_commit(fd_, 3, 0), 0);
  EXPECT_EQ(error(2, 0), EINVAL);

  Ready(0, 7);
  EXPECT_EQ(Wait(kSize, 3), kSize);
  EXPECT_EQ(kevent_commit(fd_, 1, 0), 6);
  EXPECT_EQ(ring_->ring_over, 1);
  // By one who read ring_over before: freed already, or not his turn.
  EXPECT_EQ(kevent_commit(fd_, 1, 0), 0);
  EXPECT_EQ(error(2, 0), EOVERFLOW);
  EXPECT_EQ(kevent_commit(fd_, 3, 1), 2);
}

TEST_F(RingTest, ADifferentIndexDoesNotSleep) { EXPECT_EQ(kevent_wait(fd_, 1, 1, nullptr, 0), 0); }

TEST_F(RingTest, BadCalls) {
  const Queue plain;
  const auto error = [](int result) { return result == -1 ? errno : 0; };
  const timespec none = {0, 0};
  EXPECT_EQ(error(kevent_wait(plain.fd(), 1, 0, &none, 0)), EINVAL);
  EXPECT_EQ(kevent_commit(plain.fd(), 1, 0), 0);
  EXPECT_EQ(error(kevent_wait(fd_, 0, 0, &none, 0)), EINVAL);
  EXPECT_EQ(error(kevent_wait(fd_, kSize + 1, 0, &none, 0)), EINVAL);
  EXPECT_EQ(error(kevent_wait(fd_, 1, 0, &none, 8)), EINVAL);
  EXPECT_EQ(error(kevent_wait(-1, 1, 0, &none, 0)), EBADF);
  EXPECT_EQ(error(kevent_commit(-1, 1, 0)), EBADF);
  EXPECT_EQ(error(kevent_init(ring_, 1, 0)), EINVAL);
  EXPECT_EQ(error(kevent_init(ring_, 1U << 31, 0)), EFAULT);
  EXPECT_EQ(error(kevent_init(reinterpret_cast<kevent_ring*>(4096), 8, 0)), EFAULT);
  EXPECT_EQ(error(kevent_init(ring_, 0, 0)), EINVAL);
  for (unsigned i = 1; i < 8; ++i) {
    auto* odd = reinterpret_cast<kevent_ring*>(reinterpret_cast<char*>(ring_) + i);
    EXPECT_EQ(error(kevent_init(odd, 2, 0)), EINVAL);
  }
  EXPECT_EQ(error(kevent_init(nullptr, 2, 0)), EINVAL);
}

TEST_F(RingTest, OneWhoWaitsForRoomIsWokenByTheCommit) {
  Ready(0, 8);
  EXPECT_EQ(Wait(kSize), kSize);
  std::atomic<int> moved = -1;
  Thread waiter([&] { moved = kevent_wait(fd_, kSize, 0, nullptr, 0); });
  waiter.AwaitAsleep();
  EXPECT_EQ(kevent_commit(fd_, 3, 0), 3);
  waiter.Join();
  EXPECT_EQ(moved, 1);
  EXPECT_EQ(ring_->event[0].id.raw_u64, 8);
}

TEST_F(RingTest, TimersGoThereToo) {
  const Timer timer(fd_, 42);
  timer.ArmIn(kMillisecond);
  EXPECT_EQ(kevent_wait(fd_, 1, 0, nullptr, 0), 1);
  EXPECT_EQ(ring_->event[0].type, KEVENT_POSIX_TIMER);
  EXPECT_EQ(ring_->event[0].ptr, reinterpret_cast<void*>(42));
}

// Two threads wait and commit what they have seen; a third makes events.  Each
// event lies in the ring once.
TEST_F(RingTest, SeveralWaitAndCommit) {
  constexpr int kEvents = 20'000;
  std::atomic<int> moved = 0;
  std::atomic<int> freed = 0;
  std::atomic<bool> over = false;
  const auto consume = [&] {
    while (!over) {
      const unsigned turn = std::atomic_ref(ring_->ring_over).load();
      const unsigned index = std::atomic_ref(ring_->ring_kidx).load();
      const timespec soon = ToTimespec(kMillisecond);
      const int count = kevent_wait(fd_, 4, index, &soon, 0);
      if (count > 0) moved += count;
      const int committed = kevent_commit(fd_, std::atomic_ref(ring_->ring_kidx).load(), turn);
      if (committed > 0) freed += committed;
      EXPECT_TRUE(committed >= 0 || errno == EOVERFLOW || errno == EINVAL) << errno;
    }
  };
  {
    Thread first(consume);
    Thread second(consume);
    for (int made = 0; made < kEvents;) {
      // Each is injected again only when its last event was moved.
      const uint64_t id = static_cast<uint64_t>(made) % 20;
      if (made - moved >= 20) continue;
      EXPECT_TRUE(Inject(fd_, User(id)));
      ++made;
    }
    while (moved < kEvents) usleep(100);
    over = true;
  }
  EXPECT_EQ(moved, kEvents);
  EXPECT_LE(freed, kEvents);
}

}  // namespace
}  // namespace kevent_test
