// SPDX-License-Identifier: MIT
//
// KEVENT_SIGNAL among several threads, beside a signal mask, and of ignored signals.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

constexpr int kSignal = SIGUSR1;

std::atomic<int> handled{0};

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

bool Pending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

class Signals : public testing::Test {
 protected:
  Signals() {
    const sigset_t set = SetOf({kSignal, SIGCHLD});
    pthread_sigmask(SIG_BLOCK, &set, &before_);
    handled = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { ++handled; };
    sigaction(kSignal, &action, &action_before_);
  }
  ~Signals() override {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);  // what is left is handled
    sigaction(kSignal, &action_before_, nullptr);
  }

  static ukevent RequestFor(int signal, uint32_t req_flags = 0) {
    return Request(KEVENT_SIGNAL, static_cast<uint64_t>(signal), KEVENT_SIGNAL_DELIVERY, req_flags);
  }
  // What kevent_pget_events returns with a mask that blocks all but these, or -errno.
  int TakeLettingThrough(std::initializer_list<int> signals, unsigned min, Nanos patience) const {
    sigset_t mask;
    sigfillset(&mask);
    for (const int signal : signals) sigdelset(&mask, signal);
    const timespec timeout = ToTimespec(patience);
    ukevent event;
    const int count = kevent_pget_events(fd_, min, 1, &timeout, &event, 0, &mask);
    return count < 0 ? -errno : count;
  }

  const Queue queue_;
  const int fd_ = queue_.fd();

 private:
  sigset_t before_;
  struct sigaction action_before_;
};

// Others who ask for it, in whatever way, leave it pending; and the thread that it was
// sent to finds it.
TEST_F(Signals, OneToAThreadIsThatThreadsWhoeverAsksFirst) {
  const std::function<void()> ways[] = {
      [] {},
      [this] { EXPECT_TRUE(Take(fd_).empty()); },
      [this] { EXPECT_TRUE(Take(fd_, 1, 1, kMillisecond).empty()); },
      [this] { EXPECT_TRUE(Take(fd_, 2, 2, kMillisecond).empty()); },
      [this] { EXPECT_FALSE(Readable(fd_)); },
  };
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  for (const auto& way : ways) {
    for (const unsigned min : {0U, 1U}) {
      raise(kSignal);
      Thread(way).Join();
      EXPECT_TRUE(Pending(kSignal));
      const auto events = Take(fd_, min);
      ASSERT_EQ(events.size(), 1);
      EXPECT_EQ(events[0].ret_data[0], 1);
      EXPECT_EQ(events[0].ret_data[1], static_cast<uint32_t>(getpid()));
      EXPECT_FALSE(Pending(kSignal));
    }
  }
  EXPECT_EQ(handled, 0);
}

// Threads that were woken in vain look whether the descriptors that they sleep on are still the
// queue's: one that another thread closes with the last kevent of a signal ends no wait.
TEST_F(Signals, WaitsGoOnWhenTheLastKeventOfASignalGoes) {
  constexpr int kThreads = 4;
  std::atomic<bool> stop{false};
  std::atomic<int> error{0};
  std::vector<std::unique_ptr<Thread>> waiting;
  waiting.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    waiting.push_back(std::make_unique<Thread>([&] {
      const timespec timeout = ToTimespec(50 * kMillisecond);
      ukevent event;
      while (!stop && error == 0) {
        if (kevent_get_events(fd_, 1, 1, &timeout, &event, 0) < 0) error = errno;
      }
    }));
  }
  for (int i = 0; i < 500 && error == 0 && !HasFailure(); ++i) {
    EXPECT_EQ(Add(fd_, RequestFor(kSignal)), 0);
    raise(kSignal);
    EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, RequestFor(kSignal)), 0);
  }
  stop = true;
  for (const auto& thread : waiting) thread->Join();
  EXPECT_EQ(error, 0);
}

// Whether it leads or follows those who sleep on the queue, and whether the kevent was
// there before it slept.
TEST_F(Signals, OneToAThreadWakesThatThread) {
  for (const bool before : {true, false}) {
    SCOPED_TRACE(before ? "registered before the sleep" : "registered during the sleep");
    ASSERT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, 1)), 0);  // so that there are kevents
    if (before) {
      ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
    }
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.push_back(std::make_unique<Sleeper>(fd_, 1, 1));
      sleepers.back()->AwaitAsleep();
    }
    if (!before) {
      ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
    }
    for (const auto& sleeper : sleepers) sleeper->thread().AwaitQuiet();
    for (const int i : {2, 0, 3, 1}) {
      sleepers[i]->thread().Kill(kSignal);
      EXPECT_EQ(sleepers[i]->result(), 1);
      EXPECT_EQ(sleepers[i]->event(0).type, KEVENT_SIGNAL);
    }
    EXPECT_EQ(handled, 0);
    ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, RequestFor(kSignal)), 0);
    ASSERT_EQ(Control(fd_, KEVENT_CTL_REMOVE, Request(KEVENT_UNOTIFY, 1, 1)), 0);
  }
}

// One to the process is one event, whoever sleeps.
TEST_F(Signals, OneToTheProcessIsForOne) {
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  std::array<std::optional<Sleeper>, 3> sleepers;
  for (auto& sleeper : sleepers) {
    sleeper.emplace(fd_, 1, 1);
    sleeper->AwaitAsleep();
  }
  for (unsigned sent = 1; sent <= sleepers.size(); ++sent) {
    ASSERT_EQ(kill(getpid(), kSignal), 0);
    unsigned returned = 0;
    while (returned < sent) {
      returned = 0;
      for (const auto& sleeper : sleepers) returned += sleeper->returned() ? 1 : 0;
    }
    EXPECT_EQ(returned, sent);
    EXPECT_FALSE(Pending(kSignal));
  }
  for (auto& sleeper : sleepers) EXPECT_EQ(sleeper->result(), 1);
}

// One who waits for more than there is does not wake again and again: it sleeps on.
TEST_F(Signals, WhatIsPendingAndNotEnoughLetsItsThreadSleep) {
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  ASSERT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, 1)), 0);
  Sleeper sleeper(fd_, 2, 2);
  sleeper.AwaitAsleep();
  sleeper.thread().Kill(kSignal);
  sleeper.thread().AwaitQuiet();
  EXPECT_FALSE(sleeper.returned());
  EXPECT_TRUE(Inject(fd_, Request(KEVENT_UNOTIFY, 1, 1)));
  EXPECT_EQ(sleeper.result(), 2);
}

// ---- Beside a mask ---------------------------------------------------------------

TEST_F(Signals, WhatTheMaskLetsThroughIsTheHandlers) {
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  for (int i = 1; i <= 20; ++i) {
    ASSERT_EQ(kill(getpid(), kSignal), 0);
    EXPECT_EQ(TakeLettingThrough({kSignal}, 1, 10 * kSecond), -EINTR);
    EXPECT_EQ(handled, i);
  }
  // During the sleep.
  for (int i = 21; i <= 40; ++i) {
    std::atomic<int> result{1};
    Thread thread([&] { result = TakeLettingThrough({kSignal}, 1, 10 * kSecond); });
    thread.AwaitAsleep();
    ASSERT_EQ(kill(getpid(), kSignal), 0);
    thread.Join();
    EXPECT_EQ(result, -EINTR);
    EXPECT_EQ(handled, i);
  }
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Signals, WhatTheMaskBlocksIsTheQueues) {
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  ASSERT_EQ(kill(getpid(), kSignal), 0);
  EXPECT_EQ(TakeLettingThrough({SIGUSR2}, 1, 10 * kSecond), 1);
  ASSERT_EQ(kill(getpid(), kSignal), 0);
  EXPECT_EQ(TakeLettingThrough({}, 0, 0), 1);
  EXPECT_EQ(handled, 0);
}

TEST_F(Signals, ACallThatDoesNotSleepHasItsHandlersRunToo) {
  ASSERT_EQ(Add(fd_, RequestFor(kSignal)), 0);
  ASSERT_EQ(kill(getpid(), kSignal), 0);
  EXPECT_EQ(TakeLettingThrough({kSignal}, 0, 0), 0);
  EXPECT_EQ(handled, 1);
  // What is ready beside it is returned.
  ASSERT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, 1, KEVENT_REQ_READY)), 0);
  ASSERT_EQ(kill(getpid(), kSignal), 0);
  EXPECT_EQ(TakeLettingThrough({kSignal}, 1, 10 * kSecond), 1);
  EXPECT_EQ(handled, 2);
}

// ---- Ignored ones ------------------------------------------------------------------

// While it is blocked the kernel keeps an ignored signal as well, which may have a
// handler by the time that it is unblocked.
TEST_F(Signals, IgnoredOnesAreReportedWhileTheyAreBlocked) {
  signal(kSignal, SIG_IGN);
  for (const int signal : {kSignal, SIGCHLD}) {  // ignored by default
    ASSERT_EQ(Add(fd_, RequestFor(signal)), 0);
    ASSERT_EQ(kill(getpid(), signal), 0);
    EXPECT_TRUE(Pending(signal));
    EXPECT_EQ(Take(fd_, 1).size(), 1);
    EXPECT_FALSE(Pending(signal));
  }
}

}  // namespace
}  // namespace kevent_test
