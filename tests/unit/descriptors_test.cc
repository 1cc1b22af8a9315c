// SPDX-License-Identifier: MIT
//
// Closing, copying and fork, with every descriptor of the engine in sight.

#include <atomic>
#include <climits>
#include <thread>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/range_closes.h"
#include "core/descriptors/registry.h"
#include "core/descriptors/replacement.h"
#include "core/system/system.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::CloseDescriptor;
using kevent::core::CloseDescriptors;
using kevent::core::DuplicateTo;
using kevent::core::Registry;

class Descriptors : public EngineTest {
 protected:
  static std::vector<int> Internals() {
    std::vector<int> numbers;
    for (const auto& [number, file] : Sim().table_) {
      if (number >= 768) numbers.push_back(number);
    }
    return numbers;
  }
};

TEST_F(Descriptors, TheLastCloseEndsTheQueue) {
  const size_t internals = Internals().size();
  const int copy = kevent::core::Duplicate(queue_);
  const Handle timer = Create(copy, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, 10, 10), 0);
  ASSERT_EQ(CloseDescriptor(queue_), 0);
  Sim().Advance(10);
  EXPECT_EQ(Collect(copy).size(), 1);
  ASSERT_EQ(CloseDescriptor(copy), 0);
  EXPECT_LT(Internals().size(), internals);
  EXPECT_TRUE(Internals().empty());
  // The timer goes on, silently.
  Sim().Advance(3);
  EXPECT_EQ(Get(timer).value, 7);
  EXPECT_EQ(SetIn(timer, 100), 0);
  EXPECT_EQ(Get(timer).value, 100);
  EXPECT_EQ(Delete(timer), 0);
  int error;
  Create(copy, CLOCK_MONOTONIC, 0, &error);
  EXPECT_EQ(error, EBADF);
}

TEST_F(Descriptors, InternalNumbersAreNotTheProgramsToUse) {
  for (const int fd : Internals()) {
    EXPECT_EQ(CloseDescriptor(fd), -EBADF);
    EXPECT_EQ(kevent::core::Duplicate(fd), -EBADF);
    EXPECT_EQ(DuplicateTo(fd, 50, 0), -EBADF);
    EXPECT_EQ(DuplicateTo(fd, fd), -EBADF);
  }
}

TEST_F(Descriptors, CloseRangeSparesThem) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  const int copy = kevent::core::DuplicateFrom(queue_, 600, false);
  const int stranger = Sim().OpenStranger();
  ASSERT_EQ(CloseDescriptors(static_cast<unsigned>(stranger), ~0u, 0), 0);
  EXPECT_FALSE(Sim().IsOpen(stranger));
  EXPECT_FALSE(Sim().IsOpen(copy));
  ASSERT_EQ(SetIn(timer, 10), 0);
  Sim().Advance(10);
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
  ASSERT_EQ(CloseDescriptors(3, ~0u, 0), 0);
  EXPECT_EQ(Sim().open_descriptors(), 0);
}

// dup2 onto each internal number moves the object out of the way first.
TEST_F(Descriptors, DuplicatingOntoThemMovesThem) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  const Handle other = Create(queue_, CLOCK_BOOTTIME);
  const int stranger = Sim().OpenStranger();
  const auto file = Sim().File(stranger);
  for (const int fd : Internals()) {
    ASSERT_EQ(SetIn(timer, 10, 10), 0);
    ASSERT_EQ(SetIn(other, 10), 0);
    ASSERT_EQ(DuplicateTo(stranger, fd), fd);
    EXPECT_EQ(Sim().File(fd), file);
    EXPECT_FALSE(readable());
    Sim().Advance(10);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 2);
    EXPECT_FALSE(readable());
    ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_FALSE(readable());
    ASSERT_EQ(CloseDescriptor(fd), 0);
  }
  kevent::sys::Close(stranger);
  EXPECT_EQ(Delete(timer), 0);
  EXPECT_EQ(Delete(other), 0);
}

TEST_F(Descriptors, DuplicatingOntoANameReplacesIt) {
  const int second = kevent::core::InitQueue(nullptr, 0, 0);
  ASSERT_GE(second, 0);
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  ASSERT_EQ(DuplicateTo(queue_, second), second);
  EXPECT_EQ(Collect(second).size(), 1);
  EXPECT_EQ(CloseDescriptor(second), 0);
  EXPECT_EQ(Delete(timer), 0);
}

// A thread that closes a queue has looked at one of its numbers, and is about to close
// it, when another one closes them all, and puts a file of the program's there.
TEST_F(Descriptors, WhatIsBeingClosedIsClosedOnce) {
  for (const bool by_range : {true, false}) {
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    const int stranger = Sim().OpenStranger();
    int refused = 0;
    int placed = 0;
    Sim().before_call = [&, within = false](const std::string& function) mutable {
      if (within || function != "Close") return;
      within = true;
      for (const int number : Internals()) {
        if (!kevent::core::Registry::Get(number).is_closing()) continue;
        const auto first = static_cast<unsigned>(number);
        if (by_range) CloseDescriptors(first, first, 0);
        if (!by_range) CloseDescriptor(number);
        const size_t violations = Sim().violations.size();
        // In vain, as it waits for the thread that it has come between.
        ++(DuplicateTo(stranger, number, 0) == -EBUSY ? refused : placed);
        Sim().violations.resize(violations);
      }
      within = false;
    };
    ASSERT_EQ(CloseDescriptor(queue), 0);
    Sim().before_call = nullptr;
    EXPECT_GE(refused, 3);
    EXPECT_EQ(placed, 0);
    ASSERT_EQ(CloseDescriptor(stranger), 0);
  }
}

// A call of dup2 has looked at a free number, which the kernel gives to a new queue before
// it goes on, and fails.
TEST_F(Descriptors, WhatIsMadeUnderADup2ThatFailsIsClosed) {
  const size_t before = Sim().open_descriptors();
  const int stranger = Sim().OpenStranger();
  for (const int lowest : {stranger + 1, stranger + 2}) {
    int queue = -1;
    Sim().before_call = [&, within = false](const std::string& function) mutable {
      if (within || function != "DuplicateTo") return;
      within = true;
      queue = kevent::core::InitQueue(nullptr, 0, 0);
      Sim().FailCall(1, EBUSY);
    };
    EXPECT_EQ(DuplicateTo(stranger, lowest, 0), -EBUSY);
    Sim().before_call = nullptr;
    ASSERT_GE(queue, 0);
    ASSERT_EQ(CloseDescriptor(queue), 0);
  }
  ASSERT_EQ(CloseDescriptor(stranger), 0);
  EXPECT_EQ(Sim().open_descriptors(), before);
}

// Threads that make descriptors again and again let a call of dup2 have its turn.
TEST_F(Descriptors, ACallOfDup2ThatWaitsIsNotPassedByWhoMakesSomethingLater) {
  const std::thread::id replaces = std::this_thread::get_id();
  std::atomic<bool> made{false};
  std::atomic<bool> stands_back{false};
  std::thread later;
  Sim().when_pausing = [&] {
    if (std::this_thread::get_id() != replaces) {
      stands_back = true;
      std::this_thread::yield();
      return;
    }
    if (Registry::NoneWaits()) return;  // makers stand back for a call that has waited for a while
    if (!later.joinable()) {
      later = std::thread([&] {
        const kevent::core::Making making;
        made = true;
      });
      while (!made && !stands_back) std::this_thread::yield();
      EXPECT_FALSE(made);
      Registry::EndMaking();
    }
  };
  Registry::BeginMaking();
  { const kevent::core::Replacement replacement(50); }
  later.join();
  Sim().when_pausing = nullptr;
}

// Who makes several descriptors has waited once for all of them.
TEST_F(Descriptors, WhoMakesSeveralWaitsForNoCallInBetween) {
  const std::thread::id makes = std::this_thread::get_id();
  std::atomic<bool> over{false};
  int pauses = 0;
  Sim().when_pausing = [&] {
    if (std::this_thread::get_id() == makes) {
      ++pauses;
      Sim().Advance(1'000'000'000);
    } else {
      std::this_thread::yield();
    }
  };
  std::thread replaces;
  std::thread closes;
  std::atomic<bool> closing{false};
  {
    const kevent::core::Making several;
    replaces = std::thread([] { const kevent::core::Replacement replacement(50); });
    while (Registry::NoneWaits()) std::this_thread::yield();
    closes = std::thread([&] {
      closing = true;
      const kevent::core::RangeCloses::Call call;
      over = true;
    });
    while (!closing) std::this_thread::yield();
    { const kevent::core::Making one; }
    { const kevent::core::Taking another; }
    EXPECT_EQ(pauses, 0);
    EXPECT_FALSE(over);
  }
  replaces.join();
  closes.join();
  Sim().when_pausing = nullptr;
}

// A number closed by a system call that the library does not see, and taken by a stranger.
TEST_F(Descriptors, AStrangersDescriptorIsNotArmed) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  for (const int fd : Internals()) {
    if (Sim().File(fd)->kind == SimulatedFile::Kind::kTimerfd) Sim().ReplaceBehindBack(fd);
  }
  EXPECT_EQ(SetIn(timer, 10), 0);  // else a violation
  EXPECT_EQ(Delete(timer), 0);
}

// Neither a child of vfork, which runs in its parent's memory, nor a thread that has
// left the process's table (unshare) is told from others by its process id alone: a
// child may be process 1 of a namespace as its parent is of another.
TEST_F(Descriptors, AnotherTableOfDescriptorsChangesNothing) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, 10), 0);
  const auto table = Sim().table_;  // the child's is a copy
  Sim().own_table = true;
  EXPECT_EQ(CloseDescriptor(queue_), 0);
  EXPECT_EQ(CloseDescriptors(3, ~0u, 0), 0);
  EXPECT_EQ(Sim().open_descriptors(), 0);
  Sim().own_table = false;
  Sim().table_ = table;
  Sim().Advance(10);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Descriptors, AChildOfForkHasFreshQueuesAndNoTimers) {
  for (const bool run_handlers : {true, false}) {
    const Handle timer = Create(queue_, CLOCK_MONOTONIC);
    const Handle cpu = Create(queue_, CLOCK_PROCESS_CPUTIME_ID);
    const int copy = kevent::core::Duplicate(queue_);
    ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1, 1), 0);
    ASSERT_EQ(SetIn(cpu, kSecond), 0);
    const auto parents = Sim().File(queue_);
    const auto members = parents->members;

    Sim().Fork(run_handlers);
    EXPECT_EQ(SetIn(timer, 1), EINVAL);
    EXPECT_EQ(Delete(cpu), EINVAL);
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_FALSE(readable());
    EXPECT_EQ(parents->members, members);  // shared with the parent, untouched
    EXPECT_NE(Sim().File(queue_), parents);

    const Handle own = Create(copy, CLOCK_MONOTONIC);
    ASSERT_EQ(Set(own, TIMER_ABSTIME, 1), 0);
    EXPECT_EQ(Collect(queue_).size(), 1);  // two names of one queue
    EXPECT_EQ(Delete(own), 0);
    EXPECT_EQ(CloseDescriptor(copy), 0);
  }
}

// The announcement needs memory of the kernel; a timerfd in its place does not.
TEST_F(Descriptors, AnAnnouncementThatFailsIsStillMade) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  Sim().FailCall(1, ENOMEM);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  EXPECT_FALSE(Sim().failure_pending());
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(timer), 0);
}

// A leader that holds would set that timerfd to what comes next: it returns with
// what there is instead.
TEST_F(Descriptors, AnAnnouncementThatFailsIsNotSilencedByWhoWaitsForMore) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  const Handle later = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(later, kSecond), 0);
  Sim().FailCall(1, ENOSPC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  ukevent events[2];
  const timespec patience = {0, 10};
  const kevent::core::Queue::Request request = {2, 2, events, &patience, 0, nullptr};
  Sim().before_call = [](const std::string& function) {
    if (function == "EpollAdd") Sim().FailCall(1, ENOSPC);
  };
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  EXPECT_EQ(kevent::core::GetEvents(queue_, request), 1);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before);
  Sim().before_call = nullptr;
  Sim().FailCall(0, 0);
  EXPECT_EQ(Delete(timer), 0);
  EXPECT_EQ(Delete(later), 0);
}

// And is forgotten once it was collected.
TEST_F(Descriptors, AnAnnouncementThatFailedIsNotMadeLater) {
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  Sim().FailCall(1, ENOSPC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  EXPECT_EQ(Collect(queue_).size(), 1);
  // Something that the kernel knows of, for a call that wants more.
  const int file = Sim().OpenStranger();
  ukevent request = {};
  request.id.raw[0] = static_cast<uint32_t>(file);
  request.type = KEVENT_POLL;
  request.event = KEVENT_POLL_POLLIN;
  ASSERT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_ADD, 1, &request), 0);
  Sim().SetReady(file, EPOLLIN);
  ukevent events[2];
  const timespec patience = {0, 10};
  const kevent::core::Queue::Request two = {2, 2, events, &patience, 0, nullptr};
  EXPECT_EQ(kevent::core::GetEvents(queue_, two), 1);
  Sim().SetReady(file, 0);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());
  EXPECT_EQ(Delete(timer), 0);
}

TEST_F(Descriptors, QueuesAreUsedAgain) {
  const size_t before = Sim().mapped_bytes;
  for (int i = 0; i < 50; ++i) {
    const int fd = kevent::core::InitQueue(nullptr, 0, 0);
    ASSERT_GE(fd, 0);
    const Handle timer = Create(fd, CLOCK_MONOTONIC);
    ASSERT_EQ(SetIn(timer, 10), 0);
    ASSERT_EQ(Delete(timer), 0);
    ASSERT_EQ(CloseDescriptor(fd), 0);
  }
  EXPECT_LT(Sim().mapped_bytes - before, size_t{1} << 20);
}

}  // namespace
}  // namespace kevent_test
