// SPDX-License-Identifier: MIT
//
// The life of kqueues: closing, fork, and many threads.

#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <memory>

#include "tests/kqueue/kqueues.h"
#include "tests/support/process.h"
#include "tests/support/threads.h"

namespace {

using namespace kqueue_test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Life, EndsWithClose) {
  const std::set<int> before = OpenDescriptors();
  {
    Kqueue kq;
    const Pipe pipe;
    const int number = kq.fd();
    EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD), 0);
    EXPECT_EQ(kq.MakeFd(pipe.in.fd(), EVFILT_WRITE, EV_ADD), 0);
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, 0, 1), 0);
    kq.Close();
    const Kqueue again;
    ASSERT_EQ(again.fd(), number);
    EXPECT_THAT(again.Ready(), IsEmpty());
    EXPECT_EQ(again.Make(1, EVFILT_TIMER, EV_DELETE), ENOENT);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Life, OfManyLeavesNothingBehind) {
  const std::set<int> before = OpenDescriptors();
  for (int round = 0; round < 20; ++round) {
    std::vector<Kqueue> kqueues(50);
    for (const Kqueue& kq : kqueues) {
      EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, 7), 0);
    }
    for (const Kqueue& kq : kqueues) EXPECT_THAT(kq.Ready(), SizeIs(1));
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Life, OfADuplicateThatWasNotUsedYetGoesOnWhenManyAreMade) {
  Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 7), 0);
  const Kqueue copy = kq.Duplicate();
  kq.Close();
  const std::vector<Kqueue> many(50);
  EXPECT_EQ(copy.Make(1, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER), 0);
  EXPECT_THAT(copy.Ready(), ElementsAre(IsEvent(1u, EVFILT_USER, 0, 7u)));
}

TEST(Life, OfANumberThatBecomesAnothersIsTheOthers) {
  Kqueue a;
  const Kqueue b;
  const int number = a.fd();
  EXPECT_EQ(a.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 1), 0);
  EXPECT_EQ(b.Make(2, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 2), 0);
  ASSERT_EQ(dup2(b.fd(), number), number);
  EXPECT_EQ(a.Make(1, EVFILT_USER, 0, NOTE_TRIGGER), ENOENT);
  EXPECT_EQ(b.Make(2, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER), 0);
  EXPECT_THAT(a.Ready(), ElementsAre(IsEvent(2u, EVFILT_USER, 0, 2u)));
  // And again, with a change first that the former kqueue would have taken.
  Kqueue c;
  EXPECT_EQ(c.Make(2, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 3), 0);
  EXPECT_EQ(c.Make(5, EVFILT_TIMER, EV_ADD, 0, 1000), 0);
  ASSERT_EQ(dup2(b.fd(), c.fd()), c.fd());
  EXPECT_EQ(c.Make(5, EVFILT_TIMER, EV_ADD, 0, 2000), 0);
  EXPECT_EQ(b.Make(5, EVFILT_TIMER, EV_DELETE), 0);
  EXPECT_EQ(c.Make(2, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER), 0);
  EXPECT_THAT(b.Ready(), ElementsAre(IsEvent(2u, EVFILT_USER, 0, 2u)));
}

TEST(Fork, LeavesNoKqueueToTheChild) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Event event;
    const timespec now = {0, 0};
    if (kevent(kq.fd(), nullptr, 0, &event, 1, &now) != -1 || errno != EBADF) _exit(1);
    EV_SET(&event, 1, EVFILT_USER, EV_ADD, 0, 0, nullptr);
    if (kevent(kq.fd(), &event, 1, nullptr, 0, &now) != -1 || errno != EBADF) _exit(2);
    const int own = kqueue();
    EV_SET(&event, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, nullptr);
    if (kevent(own, &event, 1, &event, 1, nullptr) != 1) _exit(3);
    _exit(close(kq.fd()) == 0 ? 0 : 4);
  }
  EXPECT_EQ(ExitStatus(child), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

// ---- Threads ---------------------------------------------------------------------------

// Several threads retrieve while others trigger: with EV_DISPATCH each event goes to one, and none
// is lost.
TEST(Threads, HaveEachEventOnce) {
  const Kqueue kq;
  constexpr int kRetrievers = 4;
  constexpr uintptr_t kIdents = 8;
  constexpr int kRounds = 500;
  std::atomic<int> seen[kIdents] = {};
  std::atomic<int> inside[kIdents] = {};
  std::atomic<bool> overlaps{false};
  for (uintptr_t i = 0; i < kIdents; ++i) {
    ASSERT_EQ(kq.Make(i, EVFILT_USER, EV_ADD | EV_DISPATCH | EV_CLEAR, NOTE_TRIGGER), 0);
  }
  ASSERT_EQ(kq.Make(100, EVFILT_USER, EV_ADD), 0);
  const auto retrieve = [&] {
    for (;;) {
      for (const Event& event : kq.Await(3)) {
        if (event.ident == 100) return;
        if (inside[event.ident].fetch_add(1) != 0) overlaps = true;
        const int count = seen[event.ident].fetch_add(1) + 1;
        inside[event.ident].fetch_sub(1);
        if (count == kRounds) continue;
        kq.Make(event.ident, EVFILT_USER, EV_ENABLE, NOTE_TRIGGER);
      }
    }
  };
  std::vector<std::unique_ptr<Thread>> threads;
  threads.reserve(kRetrievers);
  for (int i = 0; i < kRetrievers; ++i) threads.push_back(std::make_unique<Thread>(retrieve));
  for (uintptr_t i = 0; i < kIdents; ++i) {
    while (seen[i] != kRounds) usleep(100);
  }
  EXPECT_EQ(kq.Make(100, EVFILT_USER, 0, NOTE_TRIGGER), 0);
  for (const auto& thread : threads) thread->Join();
  EXPECT_FALSE(overlaps);
  for (uintptr_t i = 0; i < kIdents; ++i) EXPECT_EQ(seen[i], kRounds);
}

// No event comes of what was deleted, also while others retrieve.
TEST(Threads, HaveNoEventOfWhatWasDeleted) {
  const Kqueue kq;
  const Pipe pipe;
  pipe.Write();
  // Odd while there may be events.
  std::atomic<uintptr_t> turn{0};
  std::atomic<bool> ends{false};
  std::atomic<int> wrong{0};
  std::atomic<int> count{0};
  Thread retriever([&] {
    while (!ends) {
      const uintptr_t before = turn;
      for (const Event& event : kq.Retrieve(kMillisecond)) {
        // What it has was registered during the call.
        if (Udata(event) < before) ++wrong;
        ++count;
      }
    }
  });
  for (uintptr_t i = 1; i <= 2000; i += 2) {
    EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD, 0, 0, i), 0);
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_NSECONDS, 1000, i), 0);
    if (i % 8 == 1) usleep(50);
    EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_DELETE), 0);
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), 0);
    turn = i + 1;
  }
  while (count == 0) {
    EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD, 0, 0, uintptr_t{1} << 40), 0);
    usleep(1000);
  }
  ends = true;
  retriever.Join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
