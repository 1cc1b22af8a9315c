// SPDX-License-Identifier: MIT
//
// Watches of descriptors, signals and processes, and events of the program's own.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <kevent/kevent.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "tests/support/watchdog.h"

namespace {

using kevent::Interest;
using kevent::Trigger;

class Pair {
 public:
  Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0); }
  ~Pair() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  int near() const { return ends_[0]; }
  void Send() const { EXPECT_EQ(write(ends_[1], "x", 1), 1); }
  void Read() const {
    char byte = 0;
    EXPECT_EQ(read(ends_[0], &byte, 1), 1);
  }
  void HangUp() {
    close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

TEST(Watch, ADescriptorByLevel) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  Pair pair;
  int runs = 0;
  const kevent::DescriptorWatch watch(queue, pair.near(), Interest::kRead,
                                      [&](const kevent::Readiness& ready) {
                                        EXPECT_EQ(ready.fd, pair.near());
                                        EXPECT_TRUE(ready.is(Interest::kRead));
                                        EXPECT_FALSE(ready.is(Interest::kWrite));
                                        ++runs;
                                      });
  EXPECT_EQ(queue.poll(), 0U);
  pair.Send();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(queue.run_once(), 1U);
  pair.Read();
  EXPECT_EQ(queue.poll(), 0U);
  EXPECT_EQ(runs, 2);
}

TEST(Watch, ADescriptorByEdgeAndOnce) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  Pair pair;
  {
    const kevent::DescriptorWatch edge(
        queue, pair.near(), Interest::kRead, [] {}, Trigger::kEdge);
    pair.Send();
    EXPECT_EQ(queue.run_once(), 1U);
    EXPECT_EQ(queue.poll(), 0U);
  }
  kevent::DescriptorWatch once(
      queue, pair.near(), Interest::kRead, [] {}, Trigger::kOnce);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(queue.poll(), 0U);
  once.modify(Interest::kRead);
  EXPECT_EQ(queue.run_once(), 1U);
  std::error_code error;
  once.modify(Interest::kWrite, error);
  EXPECT_FALSE(error);
  EXPECT_EQ(queue.run_once(), 1U);
}

TEST(Watch, ADescriptorForSomethingElse) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  Pair pair;
  std::optional<std::uint32_t> bits;
  kevent::DescriptorWatch watch(queue, pair.near(), Interest::kRead,
                                [&](const kevent::Readiness& ready) { bits = ready.bits; });
  watch.modify(Interest::kRead | Interest::kWrite);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(bits, static_cast<std::uint32_t>(Interest::kWrite));
  watch.modify(Interest::kRead | Interest::kReadHangUp);
  EXPECT_EQ(queue.poll(), 0U);
  bits.reset();
  kevent::DescriptorWatch hang_up;
  pair.HangUp();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_NE(*bits & KEVENT_POLL_POLLHUP, 0U);
}

TEST(Watch, APausedOneLosesNothing) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  Pair pair;
  int runs = 0;
  kevent::DescriptorWatch watch(queue, pair.near(), Interest::kRead, [&] { ++runs; });
  kevent::UserEvent event(queue, [&] { watch.pause(); });
  pair.Send();
  event.notify();
  std::array<ukevent, 4> room;
  // User events come first.
  const auto events = queue.collect(room, 2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(queue.dispatch(events), 1U);
  EXPECT_EQ(queue.poll(), 0U);
  EXPECT_EQ(runs, 0);
  watch.modify(Interest::kRead);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(runs, 1);
}

TEST(Watch, IsRemovedWithItsObject) {
  kevent::Queue queue;
  Pair pair;
  pair.Send();
  {
    kevent::DescriptorWatch watch(queue, pair.near(), Interest::kRead, [] {});
    kevent::DescriptorWatch moved(std::move(watch));
    EXPECT_EQ(queue.run_once(), 1U);
    kevent::DescriptorWatch assigned;
    assigned = std::move(moved);
    EXPECT_EQ(queue.run_once(), 1U);
    EXPECT_FALSE(moved);  // NOLINT(bugprone-use-after-move): it is empty
  }
  EXPECT_EQ(queue.poll(), 0U);
  // With a cookie, too; the key is free again.
  for (int i = 0; i < 3; ++i) {
    const kevent::DescriptorWatch watch(queue, pair.near(), Interest::kRead, &pair);
    std::array<ukevent, 2> room;
    const auto events = queue.collect(room);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].ptr, &pair);
    EXPECT_TRUE(kevent::Readiness(events[0]).is(Interest::kRead));
  }
}

TEST(Watch, ADescriptorThatWasClosed) {
  kevent::Queue queue;
  std::optional<Pair> pair(std::in_place);
  std::optional<kevent::DescriptorWatch> watch(std::in_place, queue, pair->near(), Interest::kRead,
                                               [] { FAIL() << "closed"; });
  const int number = pair->near();
  pair.reset();
  const int next = fcntl(STDERR_FILENO, F_DUPFD, number);
  ASSERT_EQ(next, number);
  EXPECT_EQ(queue.poll(), 0U);
  watch.reset();
  close(next);
}

TEST(Watch, ErrorsOfBothForms) {
  kevent::Queue queue;
  std::error_code error;
  const kevent::DescriptorWatch none(
      queue, 9999, Interest::kRead, [] {}, Trigger::kLevel, error);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  EXPECT_FALSE(none);
  EXPECT_THROW(kevent::DescriptorWatch(queue, -1, Interest::kRead, [] {}), std::system_error);
  EXPECT_THROW(kevent::SignalWatch(queue, SIGKILL, [] {}), std::system_error);
  EXPECT_THROW(kevent::SignalWatch(queue, -1, [] {}), std::system_error);
  const kevent::ProcessWatch nobody(
      queue, -1, [] {}, error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  kevent::DescriptorWatch empty;
  EXPECT_THROW(empty.modify(Interest::kRead), std::system_error);
}

TEST(Watch, ASignal) {
  const kevent_test::Watchdog watchdog;
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
  kevent::Queue queue;
  std::uint32_t count = 0;
  const kevent::SignalWatch watch(queue, SIGRTMIN, [&](const kevent::SignalReceipt& receipt) {
    EXPECT_EQ(receipt.signal, SIGRTMIN);
    EXPECT_EQ(receipt.sender, getpid());
    count += receipt.count;
  });
  for (int i = 0; i < 20; ++i) ASSERT_EQ(kill(getpid(), SIGRTMIN), 0);
  while (count < 20) queue.run_once();
  EXPECT_EQ(count, 20U);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

TEST(Watch, TheEndOfAProcess) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  const pid_t child = fork();
  if (child == 0) _exit(7);
  std::optional<int> status;
  const kevent::ProcessWatch watch(queue, child, [&](const kevent::ProcessExit& exit) {
    EXPECT_EQ(exit.pid, child);
    status = exit.status;
  });
  EXPECT_EQ(queue.run_once(), 1U);
  ASSERT_TRUE(status);
  EXPECT_EQ(WEXITSTATUS(*status), 7);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(Watch, AUserEventFromASignalHandler) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  int runs = 0;
  static kevent::UserEvent s_event;
  s_event = kevent::UserEvent(queue, [&](const kevent::Notification&) { ++runs; });
  struct sigaction action = {};
  action.sa_handler = [](int) { s_event.notify(); };
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ASSERT_EQ(raise(SIGUSR1), 0);
  ASSERT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_EQ(runs, 1);
  s_event = {};
}

TEST(Watch, UserEventsWithACookieAreDistinguishedByTheirIds) {
  kevent::Queue queue;
  const kevent::UserEvent one(queue, nullptr, 1);
  const kevent::UserEvent two(queue, nullptr, 2);
  EXPECT_THROW(kevent::UserEvent(queue, nullptr, 2), std::system_error);
  two.notify();
  std::array<ukevent, 2> room;
  const auto events = queue.collect(room);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].id.raw_u64, 2U);
}

}  // namespace
