// SPDX-License-Identifier: MIT
//
// Every call of kevent_ctl, and of those who wait, that can fail is made to fail in
// turn: nothing is left half done, and the same call does it afterwards.

#include <sys/inotify.h>
#include <sys/stat.h>

#include <cstdlib>
#include <vector>

#include "core/system/system.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {
namespace {

using kevent::core::CloseDescriptor;
using kevent::core::ControlKevents;
using kevent::core::InitQueue;

class KeventFailures : public EngineTest {
 protected:
  KeventFailures() {
    Sim().blocked_signals = uint64_t{1} << (SIGUSR1 - 1);
    Sim().File(pipe_)->mode = S_IFIFO;
    const auto id = [](int fd) { return static_cast<uint64_t>(fd); };
    constexpr uint32_t kAlways = KEVENT_REQ_ALWAYS_QUEUE;
    requests_ = {
        Request(KEVENT_SOCKET, id(socket_), KEVENT_SOCKET_RECV, kAlways, 1),
        Request(KEVENT_SOCKET, id(socket_), KEVENT_SOCKET_SEND, kAlways, 2),
        Request(KEVENT_POLL, id(other_), KEVENT_POLL_POLLIN),
        Request(KEVENT_PIPE, id(pipe_), KEVENT_SOCKET_RECV),
        Request(KEVENT_KEVENT, id(queue_), KEVENT_KEVENT_READY),
        TimerRequest(7, &spec_),
        Request(KEVENT_TIMER, 5, KEVENT_TIMER_FIRED),
        Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_SIGNAL_DELIVERY),
        Request(KEVENT_PROCESS, 4321, KEVENT_PROCESS_EXIT),
        Request(KEVENT_INODE, id(other_), KEVENT_INODE_MODIFY),
        Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT),
    };
  }
  ~KeventFailures() override {
    Sim().FailCall(0, 0);
    Sim().blocked_signals = 0;
    for (const int fd : {socket_, other_, pipe_}) kevent::sys::Close(fd);
  }

  // Runs `body` with its first, second ... call that can fail made to fail, until
  // there is none; how many were.
  template <typename Body>
  static int FailInTurn(Body body) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(testing::Message() << "failure " << n);
      const size_t before = Sim().open_descriptors();
      body(n);
      const bool was_met = !Sim().failure_pending();
      Sim().FailCall(0, 0);
      EXPECT_EQ(Sim().open_descriptors(), before);
      if (HasFailure() || !was_met) return n - 1;
    }
  }

  const kevent_timer_spec spec_ = {CLOCK_BOOTTIME, 0, {{0, 0}, {1, 0}}};
  const int socket_ = Sim().OpenStranger();
  const int other_ = Sim().OpenStranger();
  const int pipe_ = Sim().OpenStranger();
  std::vector<ukevent> requests_;
};

TEST_F(KeventFailures, NothingIsHalfRegistered) {
  const int failed = FailInTurn([this](int n) {
    const int queue = InitQueue(nullptr, 0, 0);
    Sim().FailCall(n, ENOMEM);
    for (const ukevent& request : requests_) {
      const size_t descriptors = Sim().open_descriptors();
      int result = Add(queue, request);
      if (result != 0) {
        EXPECT_EQ(result, -ENOMEM) << "type " << request.type;
        EXPECT_LE(Sim().open_descriptors(), descriptors + 2);  // what the queue keeps
        result = Add(queue, request);
      }
      EXPECT_EQ(result, 0) << "type " << request.type;
      EXPECT_EQ(Add(queue, request), -EEXIST) << "type " << request.type;
    }
    for (const ukevent& request : requests_) {
      EXPECT_EQ(Control(queue, KEVENT_CTL_REMOVE, request), 0) << "type " << request.type;
    }
    ukevent any = requests_[0];
    EXPECT_EQ(ControlKevents(queue, KEVENT_CTL_REMOVE, 1, &any), 1);
    EXPECT_TRUE(Collect(queue).empty());
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
  EXPECT_GT(failed, 15);
}

// What cannot be modified stays as it was.
TEST_F(KeventFailures, NothingIsHalfModified) {
  const int failed = FailInTurn([this](int n) {
    const int queue = InitQueue(nullptr, 0, 0);
    for (const ukevent& request : requests_) ASSERT_EQ(Add(queue, request), 0);
    Sim().FailCall(n, ENOMEM);
    for (ukevent request : requests_) {
      request.req_flags = KEVENT_REQ_ONESHOT;
      int result = Control(queue, KEVENT_CTL_MODIFY, request);
      if (result != 0) {
        EXPECT_EQ(result, -ENOMEM) << "type " << request.type;
        ukevent ready = request;
        EXPECT_EQ(ControlKevents(queue, KEVENT_CTL_READY, 1, &ready), 1);
        const auto events = Collect(queue);
        ASSERT_EQ(events.size(), 1);
        EXPECT_EQ(events[0].req_flags & KEVENT_REQ_ONESHOT, 0u) << "type " << request.type;
        result = Control(queue, KEVENT_CTL_MODIFY, request);
      }
      EXPECT_EQ(result, 0) << "type " << request.type;
    }
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
  EXPECT_GE(failed, 1);
}

// What cannot go on stays paused: its source, which is ready, does not make the queue readable.
TEST_F(KeventFailures, NothingGoesOnByHalf) {
  const ukevent on = Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_SIGNAL_DELIVERY);
  const ukevent paused = Request(KEVENT_SIGNAL, SIGUSR1, KEVENT_MASK_EMPTY);
  ASSERT_EQ(Add(queue_, paused), 0);
  const int failed = FailInTurn([&](int n) {
    Sim().Watching(SIGUSR1)->pending = 1;
    Sim().FailCall(n, EMFILE);
    int result = Control(queue_, KEVENT_CTL_MODIFY, on);
    if (result != 0) {
      EXPECT_EQ(result, -EMFILE);
      EXPECT_FALSE(readable());
      EXPECT_TRUE(Collect(queue_).empty());
      result = Control(queue_, KEVENT_CTL_MODIFY, on);
    }
    EXPECT_EQ(result, 0);
    EXPECT_TRUE(readable());
    EXPECT_EQ(Collect(queue_).size(), 1);
    EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, paused), 0);
  });
  EXPECT_GE(failed, 2);
}

// Nor is what happened to a file before.
TEST_F(KeventFailures, WhatHappenedBeforeAFailedModificationIsReported) {
  const auto id = static_cast<uint64_t>(other_);
  ASSERT_EQ(Add(queue_, Request(KEVENT_INODE, id, KEVENT_INODE_MODIFY)), 0);
  Sim().Happen(other_, IN_MODIFY);
  Sim().FailCall(1, ENOMEM);
  EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, Request(KEVENT_INODE, id, KEVENT_INODE_ATTRIB)),
            -ENOMEM);
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_INODE_MODIFY);
}

// The ring, and a thread that waits for room in it or for several.
TEST_F(KeventFailures, NothingIsLostByThoseWhoWait) {
  constexpr unsigned kSize = 2;
  const int failed = FailInTurn([](int n) {
    auto* ring =
        static_cast<kevent_ring*>(std::calloc(1, sizeof(kevent_ring) + kSize * sizeof(ukevent)));
    Sim().FailCall(n, ENOMEM);
    const auto again = [](auto call) {
      const int result = call();
      if (result >= 0) return result;
      EXPECT_EQ(result, -ENOMEM);
      EXPECT_FALSE(Sim().failure_pending());
      return call();
    };
    const int queue = again([ring] { return InitQueue(ring, kSize, 0); });
    for (uint64_t i = 0; i < 3; ++i) {
      const ukevent request =
          Request(KEVENT_UNOTIFY, i, KEVENT_UNOTIFY_EVENT, KEVENT_REQ_ALWAYS_QUEUE);
      EXPECT_EQ(again([&] { return Add(queue, request); }), 0);
    }
    const timespec patience = {1, 0};
    const auto wait = [&](unsigned old) {
      return again([&] { return kevent::core::WaitForRing(queue, kSize, old, &patience, 0); });
    };
    EXPECT_EQ(wait(0), 2);
    EXPECT_EQ(wait(0), 0);  // full, to the end of its patience
    EXPECT_EQ(kevent::core::CommitRing(queue, 1, 0), 1);
    EXPECT_EQ(wait(1), 1);
    ukevent user = Request(KEVENT_UNOTIFY, 0, KEVENT_UNOTIFY_EVENT);
    EXPECT_EQ(ControlKevents(queue, KEVENT_CTL_READY, 1, &user), 1);
    ukevent events[4];
    EXPECT_EQ(again([&] {
                return kevent::core::GetEvents(queue, {2, 4, events, &patience, 0, nullptr});
              }),
              1);
    EXPECT_EQ(CloseDescriptor(queue), 0);
    std::free(ring);
  });
  EXPECT_GE(failed, 8);
}

// Another thread nests a queue while this one waits for a second event, and from
// some addition on the kernel has no memory for more: what comes then wakes it
// nevertheless.
TEST_F(KeventFailures, ALeaderThatHoldsIsWokenAfterAFailedNesting) {
  const int inner = InitQueue(nullptr, 0, 0);
  const ukevent nested = Request(KEVENT_KEVENT, static_cast<uint64_t>(inner), KEVENT_KEVENT_READY);
  ukevent user = Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT);
  bool refused = true;
  for (int first = 1; refused; ++first) {
    SCOPED_TRACE(testing::Message() << "from addition " << first);
    const int outer = InitQueue(nullptr, 0, 0);
    ASSERT_EQ(Add(outer, user), 0);
    ASSERT_EQ(Add(outer, Request(KEVENT_POLL, static_cast<uint64_t>(other_), KEVENT_POLL_POLLIN)),
              0);
    ASSERT_EQ(ControlKevents(outer, KEVENT_CTL_READY, 1, &user), 1);

    int sleeps = 0;
    int additions = 0;
    bool nests = false;
    Sim().before_call = [&](const std::string& function) {
      if (nests && function == "EpollAdd" && ++additions >= first) Sim().FailCall(1, ENOMEM);
      // At first it sees that it holds.
      if (function != "Poll" || ++sleeps != 2) return;
      nests = true;
      refused = Add(outer, nested) != 0;
      Sim().SetReady(other_, EPOLLIN);
    };
    const timespec patience = {10, 0};
    ukevent events[4];
    const uint64_t begin = Sim().Now(CLOCK_MONOTONIC);
    const int result = kevent::core::GetEvents(outer, {2, 4, events, &patience, 0, nullptr});
    Sim().before_call = nullptr;
    EXPECT_TRUE(result == 2 || (refused && result == -ENOMEM)) << result;
    EXPECT_LT(Sim().Now(CLOCK_MONOTONIC) - begin, 10 * kSecond);
    EXPECT_GE(sleeps, 2);
    Sim().SetReady(other_, 0);
    EXPECT_EQ(CloseDescriptor(outer), 0);
    ASSERT_LT(first, 10);
  }
  EXPECT_EQ(CloseDescriptor(inner), 0);
}

// What is too deep is EINVAL to some kernels.
TEST_F(KeventFailures, OneErrorForEpollsThatAreNestedTooDeep) {
  const int outer = InitQueue(nullptr, 0, 0);
  for (const char* function : {"EpollAdd", "EpollModify"}) {
    bool failed = false;
    Sim().before_call = [&](const std::string& called) {
      if (failed || called != function) return;
      failed = true;
      Sim().FailCall(1, EINVAL);
    };
    const int result =
        Add(outer, Request(KEVENT_KEVENT, static_cast<uint64_t>(queue_), KEVENT_KEVENT_READY));
    Sim().before_call = nullptr;
    EXPECT_TRUE(failed);
    EXPECT_EQ(result, -ELOOP);
  }
  EXPECT_EQ(CloseDescriptor(outer), 0);
}

}  // namespace
}  // namespace kevent_test
