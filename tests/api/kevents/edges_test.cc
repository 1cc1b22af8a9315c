// SPDX-License-Identifier: MIT
//
// A loop that sleeps until the next edge of a queue's descriptor, and then collects until a
// batch is not full, has everything that was ready: no source keeps a part back.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Edges : public testing::Test {
 protected:
  Edges() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
    epoll_event edges = {};
    edges.events = EPOLLIN | EPOLLET;
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &edges), 0);
    EXPECT_EQ(Add(outer_.fd(), DescriptorRequest(KEVENT_KEVENT, fd_, KEVENT_KEVENT_READY,
                                                 KEVENT_REQ_ET | KEVENT_REQ_ALWAYS_QUEUE)),
              0);
  }
  ~Edges() override {
    close(epoll_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  static ukevent SignalRequest(int signal, uint32_t req_flags = 0) {
    return Request(KEVENT_SIGNAL, static_cast<uint64_t>(signal), KEVENT_SIGNAL_DELIVERY, req_flags);
  }

  bool EdgeOfEpoll() const {
    epoll_event event;
    return epoll_wait(epoll_, &event, 1, 0) == 1;
  }
  bool EdgeOfOuterQueue() const { return !Take(outer_.fd()).empty(); }

  // The events that come after each edge, from batches until one is not full.
  std::vector<ukevent> Collected(unsigned max, const std::function<bool()>& edge) const {
    std::vector<ukevent> all;
    while (edge()) {
      std::vector<ukevent> batch;
      do {
        batch = Take(fd_, 0, max);
        all.insert(all.end(), batch.begin(), batch.end());
      } while (batch.size() == max);
    }
    return all;
  }

  // Each way to wait for edges, with much room in a batch and with little.
  void ForEachLoop(const std::function<void(const std::function<std::vector<ukevent>()>&)>& test) {
    const std::function<bool()> ways[] = {[this] { return EdgeOfEpoll(); },
                                          [this] { return EdgeOfOuterQueue(); }};
    for (const auto& edge : ways) {
      for (const unsigned max : {1U, 2U, 3U, 64U}) {
        SCOPED_TRACE(max);
        EdgeOfEpoll();
        EdgeOfOuterQueue();
        test([this, max, &edge] { return Collected(max, edge); });
        EXPECT_FALSE(Readable(fd_));
      }
    }
  }

  const Queue queue_;
  const int fd_ = queue_.fd();

 private:
  const Queue outer_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  sigset_t before_;
};

TEST_F(Edges, AllInstancesOfASignal) {
  constexpr unsigned kSent = 40;
  ASSERT_EQ(Add(fd_, SignalRequest(SIGRTMIN)), 0);
  ForEachLoop([&](const auto& collected) {
    for (unsigned i = 0; i < kSent; ++i) ASSERT_EQ(sigqueue(getpid(), SIGRTMIN, {}), 0);
    unsigned instances = 0;
    const std::vector<ukevent> events = collected();
    for (const ukevent& event : events) {
      EXPECT_GE(event.ret_data[0], 1);
      EXPECT_LE(event.ret_data[0], 16);
      EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(getpid()));
      instances += event.ret_data[0];
    }
    EXPECT_EQ(instances, kSent);
    EXPECT_EQ(events.size(), 3);
  });
}

TEST_F(Edges, AllInstancesAreOneToWhoeverWaitsForSeveral) {
  for (int i = 0; i < 40; ++i) ASSERT_EQ(sigqueue(getpid(), SIGRTMIN, {}), 0);
  ASSERT_EQ(Add(fd_, SignalRequest(SIGRTMIN)), 0);
  constexpr Nanos kPatience = 5 * kMillisecond;
  const Nanos begin = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Take(fd_, 2, 64, kPatience).size(), 3);
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, kPatience);
}

TEST_F(Edges, AllInstancesForAKeventThatIsRemovedAreOneEvent) {
  for (int i = 0; i < 40; ++i) ASSERT_EQ(sigqueue(getpid(), SIGRTMIN, {}), 0);
  ASSERT_EQ(Add(fd_, SignalRequest(SIGRTMIN, KEVENT_REQ_ONESHOT)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], 16);
  EXPECT_TRUE(Take(fd_).empty());
  // The other instances are still pending.
  ASSERT_EQ(Add(fd_, SignalRequest(SIGRTMIN)), 0);
  EXPECT_EQ(Take(fd_).size(), 2);
}

// An event that kevent_ctl has asked for takes nothing.
TEST_F(Edges, ASignalBesideAnEventThatTakesNone) {
  ASSERT_EQ(Add(fd_, SignalRequest(SIGUSR1)), 0);
  ForEachLoop([&](const auto& collected) {
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
    ASSERT_TRUE(Inject(fd_, SignalRequest(SIGUSR1)));
    const std::vector<ukevent> events = collected();
    ASSERT_EQ(events.size(), 2);
    EXPECT_EQ(events[0].ret_data[0], 0);
    EXPECT_EQ(events[1].ret_data[0], 1);
  });
}

TEST_F(Edges, TheEndOfAProcessBesideAnEventBeforeIt) {
  ForEachLoop([&](const auto& collected) {
    const pid_t child = fork();
    if (child == 0) _exit(7);
    const ukevent request =
        Request(KEVENT_PROCESS, static_cast<uint64_t>(child), KEVENT_PROCESS_EXIT);
    ASSERT_EQ(Add(fd_, request), 0);
    siginfo_t ended;
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
    ASSERT_TRUE(Inject(fd_, request));
    const std::vector<ukevent> events = collected();
    ASSERT_EQ(events.size(), 2);
    EXPECT_EQ(events[0].ret_data[1], 0);
    EXPECT_EQ(events[1].ret_data[1], KEVENT_PROCESS_EXIT);
    EXPECT_EQ(ExitStatus(child), 7);
  });
}

TEST_F(Edges, EachByteOfAnEdgeTriggeredKevent) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV,
                                       KEVENT_REQ_ET | KEVENT_REQ_ALWAYS_QUEUE)),
            0);
  ForEachLoop([&](const auto& collected) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(write(ends[1], "x", 1), 1);
      EXPECT_EQ(collected().size(), 1);
    }
  });
  close(ends[0]);
  close(ends[1]);
}

// The manual's own reservation: what is ready by level is in each collection once.
TEST_F(Edges, WhatIsReadyByLevelIsInABatchOnceAndStaysReady) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "xx", 2), 2);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV)), 0);
  EdgeOfEpoll();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Take(fd_).size(), 1);
    EXPECT_TRUE(Readable(fd_));
    EXPECT_FALSE(EdgeOfEpoll());
    char byte;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
  }
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_FALSE(Readable(fd_));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace kevent_test
