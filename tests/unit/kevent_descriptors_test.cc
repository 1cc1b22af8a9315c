// SPDX-License-Identifier: MIT
//
// Descriptors that are closed while a kevent watches them, and several kevents on
// one, on the simulated system.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "core/descriptors/registry.h"
#include "core/kevents/watched_fds.h"
#include "core/system/system.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {
namespace {

using kevent::core::Registry;

class KeventDescriptors : public EngineTest {};

// ---- Closed ones --------------------------------------------------------------------

// The look whether it is still there leaves nothing behind, which a thread that
// closes one of several numbers of the file could not take out.
TEST_F(KeventDescriptors, LookingForAClosedDescriptorLeavesNothing) {
  const int copy = Sim().OpenStranger();
  const int socket = kevent::sys::Duplicate(copy);
  const auto id = static_cast<uint64_t>(socket);
  const ukevent request = Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN, KEVENT_REQ_ET);
  ASSERT_EQ(Add(queue_, request), 0);
  Sim().SetReady(copy, KEVENT_POLL_POLLIN);
  bool let_go = false;
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && !let_go) {
      kevent::core::WatchedFds::Unwatch(socket);
      let_go = true;
    } else if (function == "EpollDelete" && let_go && Sim().IsOpen(socket)) {
      kevent::sys::Close(socket);
    }
  };
  const timespec patience = {1, 0};
  EXPECT_TRUE(Collect(queue_, 2, 8, &patience).empty());
  Sim().before_call = nullptr;
  if (Sim().IsOpen(socket)) kevent::sys::Close(socket);
  Sim().SetReady(copy, KEVENT_POLL_POLLHUP);
  EXPECT_FALSE(readable());
  // The same number for the same file.
  ASSERT_EQ(kevent::sys::Duplicate(copy), socket);
  const int epolls = CallCount("CreateEpoll");
  EXPECT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN,
                                KEVENT_REQ_ET | KEVENT_REQ_ALWAYS_QUEUE, 1)),
            0);
  EXPECT_EQ(CallCount("CreateEpoll"), epolls) << "is taken for a second one";
  for (const int fd : {socket, copy}) kevent::sys::Close(fd);
}

// A number that was closed by a system call that we don't see, and is watched again,
// is taken out when it is closed.
TEST_F(KeventDescriptors, ANumberThatIsWatchedAgainIsLetGo) {
  const int copy = Sim().OpenStranger();
  const int socket = Sim().OpenStranger();
  const auto request = [socket](uintptr_t cookie) {
    return Request(KEVENT_POLL, static_cast<uint64_t>(socket), KEVENT_POLL_POLLIN, 0, cookie);
  };
  ASSERT_EQ(Add(queue_, request(1)), 0);
  kevent::sys::Close(socket);
  ASSERT_EQ(kevent::sys::Duplicate(copy), socket);
  ASSERT_EQ(Add(queue_, request(2)), 0);
  kevent::core::WatchedFds::Unwatch(socket);
  kevent::sys::Close(socket);
  Sim().SetReady(copy, KEVENT_POLL_POLLIN);
  EXPECT_FALSE(readable());
  kevent::sys::Close(copy);
}

// An overflow epoll's number that the program has taken over behind our back is left alone.
TEST_F(KeventDescriptors, AStrangersEpollInPlaceOfAnOverflowEpollIsLeftAlone) {
  const int socket = Sim().OpenStranger();
  for (uintptr_t i = 0; i < 2; ++i) {
    ASSERT_EQ(
        Add(queue_, Request(KEVENT_POLL, static_cast<uint64_t>(socket), KEVENT_POLL_POLLIN, 0, i)),
        0);
  }
  // The overflow epoll was made last.
  int overflow = 768;
  while (Sim().IsOpen(overflow + 1)) ++overflow;
  const int stranger = kevent::sys::CreateEpoll();
  ASSERT_EQ(Sim().File(overflow)->kind, SimulatedFile::Kind::kEpoll);
  kevent::sys::DuplicateTo(stranger, overflow, 0);
  ASSERT_EQ(kevent::sys::EpollAdd(stranger, socket, 0), 0);
  ASSERT_EQ(kevent::sys::EpollAdd(overflow, socket, 0), -EEXIST);
  kevent::core::WatchedFds::Unwatch(socket);
  EXPECT_EQ(kevent::sys::EpollDelete(stranger, socket), 0);
  for (const int fd : {stranger, overflow, socket}) kevent::sys::Close(fd);
}

// ---- The announcement ---------------------------------------------------------------

// A harvest that withdraws the announcement takes one that was told meanwhile, and
// something else is left for want of room.
TEST_F(KeventDescriptors, WhatIsAnnouncedWhileAHarvestWithdrawsStaysSo) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  for (int i = 0; i < 2; ++i) {  // whoever has the first turn
    const auto make_ready = [&](uint64_t user) {
      ukevent request = Request(KEVENT_UNOTIFY, user, KEVENT_UNOTIFY_EVENT, KEVENT_REQ_ONESHOT);
      ASSERT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &request), 1);
    };
    for (uint64_t user = 1; user <= 3; ++user) {
      ASSERT_EQ(
          Add(queue_, Request(KEVENT_UNOTIFY, user, KEVENT_UNOTIFY_EVENT, KEVENT_REQ_ONESHOT)), 0);
    }
    make_ready(1);
    bool armed = false;
    Sim().before_call = [&](const std::string& function) {
      if (armed || function != "EpollTake") return;
      armed = true;
      EXPECT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
      make_ready(2);
      make_ready(3);
    };
    EXPECT_EQ(Collect(queue_, 0, 2).size(), 2);
    Sim().before_call = nullptr;
    EXPECT_TRUE(armed);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 2);
    EXPECT_FALSE(readable());
    EXPECT_TRUE(Collect(queue_, 0, 1).empty());  // changes whose turn it is
  }
  EXPECT_EQ(Delete(timer), 0);
  kevent::sys::Close(socket);
}

// ---- Beside others who poll -----------------------------------------------------------

// While another thread polls, the kernel may show nothing of what is ready: whoever does
// not sleep would take the queue for empty, and wait for an edge that was before.
TEST_F(KeventDescriptors, WhatTheKernelDoesNotShowIsAskedForAgain) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
  for (int takes = 0; takes < 3; ++takes) {
    Sim().SetReady(socket, KEVENT_POLL_POLLIN);
    Sim().vain_takes = takes;
    EXPECT_EQ(Collect(queue_).size(), 1) << takes;
    EXPECT_EQ(Sim().vain_takes, 0);
    Sim().SetReady(socket, 0);
    EXPECT_TRUE(Collect(queue_).empty());
  }
  kevent::sys::Close(socket);
}

// Nor may a leader that holds miss what its edge was for.
TEST_F(KeventDescriptors, AHoldingLeaderFindsWhatTheKernelDoesNotShow) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN)), 0);
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
  bool ready = false;
  int takes = 0;
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && !ready) {
      ready = true;
      Sim().SetReady(socket, KEVENT_POLL_POLLIN);
    } else if (ready && function == "EpollTake" && ++takes == 2) {
      Sim().vain_takes = 1;  // after the edge was taken
    }
  };
  const timespec timeout = ToTimespec(kSecond);
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Collect(queue_, 2, 8, &timeout).size(), 2);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before);
  EXPECT_GE(takes, 2);
  Sim().before_call = nullptr;
  EXPECT_EQ(Delete(timer), 0);
  kevent::sys::Close(socket);
}

// ---- Inner numbers that are moved ---------------------------------------------------

// The number of the queue's own epoll.
int EpollOf(int queue) {
  const uint32_t number = Registry::Get(queue).queue();
  for (int fd = Registry::Next(0, Registry::kMaxDescriptor - 1); fd >= 0;
       fd = Registry::Next(fd + 1, Registry::kMaxDescriptor - 1)) {
    const auto found = Registry::Get(fd);
    if (found.is_internal() && found.queue() == number && found.role() == kevent::core::kRoleEpoll)
      return fd;
  }
  return -1;
}

// Who waits for several sleeps on what an epoll inside leaves room for, under
// whatever number.
TEST_F(KeventDescriptors, OneSleepsWithAMovedEpollAndAnotherInside) {
  const int inner = kevent::core::InitQueue(nullptr, 0, 0);
  const int stranger = Sim().OpenStranger();
  ASSERT_EQ(Add(queue_, Request(KEVENT_KEVENT, static_cast<uint64_t>(inner), KEVENT_KEVENT_READY)),
            0);
  ukevent user = Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT);
  ASSERT_EQ(Add(queue_, user), 0);
  const timespec patience = {1, 0};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &user), 1);
    const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
    EXPECT_EQ(Collect(queue_, 2, 8, &patience).size(), 1);
    EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC) - before, kSecond);
    const int epoll = EpollOf(queue_);
    ASSERT_EQ(kevent::core::DuplicateTo(stranger, epoll), epoll);
    kevent::sys::Close(epoll);
  }
  EXPECT_EQ(kevent::core::CloseDescriptor(inner), 0);
  kevent::sys::Close(stranger);
}

// And is woken, when the number is moved while he sleeps.
TEST_F(KeventDescriptors, OneWhoSleepsIsWokenThoughTheEpollIsMoved) {
  const int stranger = Sim().OpenStranger();
  for (uint64_t i = 0; i < 2; ++i) {
    ASSERT_EQ(Add(queue_, Request(KEVENT_UNOTIFY, i, KEVENT_UNOTIFY_EVENT)), 0);
  }
  const auto make_ready = [this](uint64_t id) {
    ukevent user = Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT);
    EXPECT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &user), 1);
  };
  make_ready(0);
  bool moved = false;
  Sim().before_call = [&](const std::string& function) {
    if (function != "Poll" || moved) return;
    moved = true;
    const int epoll = EpollOf(queue_);
    EXPECT_EQ(kevent::core::DuplicateTo(stranger, epoll), epoll);
    kevent::sys::Close(epoll);
    make_ready(1);
  };
  const timespec patience = {1, 0};
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Collect(queue_, 2, 8, &patience).size(), 2);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before);
  EXPECT_TRUE(moved);
  kevent::sys::Close(stranger);
}

// epoll goes on waiting by itself for one that it has reported once (EPOLLONESHOT), but not for one
// that kevent_ctl has made ready.
TEST_F(KeventDescriptors, OneThatPausesCostsOneCallEachTime) {
  const int socket = Sim().OpenStranger();
  const ukevent request = Request(KEVENT_POLL, static_cast<uint64_t>(socket), KEVENT_POLL_POLLIN,
                                  KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_DISPATCH);
  ASSERT_EQ(Add(queue_, request), 0);
  Sim().SetReady(socket, KEVENT_POLL_POLLIN);
  const int before = CallCount("EpollModify");
  constexpr int kTurns = 3;
  for (int i = 0; i < kTurns; ++i) {
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_FALSE(readable());
    EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, request), 0);
  }
  EXPECT_EQ(CallCount("EpollModify"), before + kTurns);
  Sim().SetReady(socket, 0);
  EXPECT_TRUE(Collect(queue_).empty());
  ukevent forced = request;
  ASSERT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &forced), 1);
  EXPECT_EQ(Collect(queue_).size(), 1);
  Sim().SetReady(socket, KEVENT_POLL_POLLIN);
  EXPECT_FALSE(readable());
  EXPECT_TRUE(Collect(queue_).empty());
  kevent::sys::Close(socket);
}

// ---- Several on one -----------------------------------------------------------------

// What was told to the first before it was changed is not what comes afterwards.
TEST_F(KeventDescriptors, AnEdgeIsToldToTheNextWhenTheFirstWaitsForItNoMore) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn, KEVENT_REQ_ET, 1)), 0);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn, KEVENT_REQ_ET, 2)), 0);
  Sim().SetReady(socket, kIn);
  // With room for the first alone, the second's edge is met later.
  EXPECT_EQ(Collect(queue_, 0, 1).size(), 1);
  Sim().SetReady(socket, 0);
  ASSERT_EQ(Control(queue_, KEVENT_CTL_MODIFY,
                    Request(KEVENT_POLL, id, KEVENT_POLL_POLLPRI, KEVENT_REQ_ET, 1)),
            0);
  Sim().SetReady(socket, kIn);
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(2));
  kevent::sys::Close(socket);
}

// Nor does one that was delivered for the last time take what comes then.
TEST_F(KeventDescriptors, AnEdgeIsToldToTheNextWhenTheFirstIsLeaving) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
  constexpr uint32_t kOnce = KEVENT_REQ_ET | KEVENT_REQ_ONESHOT;
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn, kOnce, 1)), 0);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn, KEVENT_REQ_ET, 2)), 0);
  // One that a last look finds not ready leaves room in the call, which asks once
  // more; there it happens again.
  const int other = Sim().OpenStranger();
  ukevent vain = Request(KEVENT_POLL, static_cast<uint64_t>(other), kIn, KEVENT_REQ_LAST_CHECK, 3);
  ASSERT_EQ(Add(queue_, vain), 0);
  ASSERT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &vain), 1);
  Sim().SetReady(socket, kIn);
  int takes = 0;
  Sim().before_call = [&](const std::string& function) {
    if (function == "EpollTake" && ++takes == 3) Sim().SetReady(socket, kIn);
  };
  std::vector<uintptr_t> found;
  for (int i = 0; i < 3; ++i) {
    for (const ukevent& event : Collect(queue_, 0, 2)) {
      found.push_back(reinterpret_cast<uintptr_t>(event.ptr));
    }
  }
  Sim().before_call = nullptr;
  EXPECT_EQ(found, (std::vector<uintptr_t>{1, 2}));
  EXPECT_GE(takes, 3);
  kevent::sys::Close(socket);
  kevent::sys::Close(other);
}

// What stays ready has its turn in an overflow epoll as well, with however little room.
TEST_F(KeventDescriptors, EachHasItsTurnInOverflowEpollsToo) {
  constexpr unsigned kFirst = 4;
  constexpr unsigned kSecond = 2;
  constexpr unsigned kCount = kFirst + kSecond;
  std::vector<int> sockets;
  for (unsigned i = 0; i < kFirst; ++i) sockets.push_back(Sim().OpenStranger());
  for (unsigned i = 0; i < kCount; ++i) {
    ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, static_cast<uint64_t>(sockets[i % kFirst]),
                                  KEVENT_POLL_POLLIN, KEVENT_REQ_WAKEUP_ALL, i)),
              0);
  }
  for (const int socket : sockets) Sim().SetReady(socket, KEVENT_POLL_POLLIN);
  for (unsigned max = 1; max <= kCount; ++max) {
    SCOPED_TRACE(testing::Message() << "room for " << max);
    std::vector<unsigned> found(kCount);
    for (unsigned i = 0; i < 10 * kCount; ++i) {
      const auto events = Collect(queue_, 0, max);
      EXPECT_EQ(events.size(), max);
      for (const ukevent& event : events) ++found[reinterpret_cast<uintptr_t>(event.ptr)];
    }
    EXPECT_GE(*std::min_element(found.begin(), found.end()), 5);
  }
  for (const int socket : sockets) kevent::sys::Close(socket);
}

TEST_F(KeventDescriptors, AQueueInsideIsCountedAsLongAsItIsThere) {
  const int inner = kevent::core::InitQueue(nullptr, 0, 0);
  const ukevent request = Request(KEVENT_KEVENT, static_cast<uint64_t>(inner), KEVENT_KEVENT_READY);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Add(queue_, request), 0);
    CheckQueues();
    ASSERT_EQ(Control(queue_, KEVENT_CTL_REMOVE, request), 0);
    CheckQueues();
  }
  EXPECT_EQ(kevent::core::CloseDescriptor(inner), 0);
}

}  // namespace
}  // namespace kevent_test
