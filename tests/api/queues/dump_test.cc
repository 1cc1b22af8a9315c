// SPDX-License-Identifier: MIT
//
// The text that kevent_dump writes for people.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

std::string DumpOf(int queue) {
  std::array<int, 2> ends;
  EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  EXPECT_EQ(kevent_dump(queue, ends[1]), 0);
  close(ends[1]);
  std::string text(1 << 16, '\0');
  const ssize_t bytes = read(ends[0], text.data(), text.size());
  text.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
  close(ends[0]);
  return text;
}

TEST(Dump, SaysWhatAQueueHas) {
  const Queue queue;
  const Timer far(queue.fd(), 1);
  far.ArmIn(kHour);
  const Timer due(queue.fd(), 2);
  due.Expire();
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.event = KEVENT_UNOTIFY_EVENT;
  ASSERT_EQ(kevent_ctl(queue.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  const std::string text = DumpOf(queue.fd());
  EXPECT_THAT(text, testing::StartsWith("kevent queue " + std::to_string(queue.fd()) + ":"));
  EXPECT_THAT(text, testing::HasSubstr("1 descriptors"));
  EXPECT_THAT(text, testing::HasSubstr("2 timers"));
  EXPECT_THAT(text, testing::HasSubstr("CLOCK_MONOTONIC: timerfd"));
  EXPECT_THAT(text, testing::HasSubstr("1 kevents"));
  EXPECT_THAT(text, testing::EndsWith("\n"));
  // It takes nothing.
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{2});
}

TEST(Dump, CountsTransfers) {
  const Queue queue;
  std::array<int, 2> ends;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  EXPECT_THAT(DumpOf(queue.fd()), testing::Not(testing::HasSubstr("transfers")));
  char bytes[3];
  for (char& byte : bytes) {
    ASSERT_EQ(kevent_aio_recv(queue.fd(), ends[0], &byte, 1, 0), 0);
  }
  EXPECT_THAT(DumpOf(queue.fd()), testing::HasSubstr("3 transfers in flight"));
  close(ends[0]);
  close(ends[1]);
}

// A descriptor that takes no more may keep the caller for as long as it likes, and its
// signals do not wait for that.
TEST(Dump, IsInterruptedWhileItWrites) {
  const Queue queue;
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const std::array<char, 4096> bytes{};
  while (write(ends[1], bytes.data(), bytes.size()) > 0) {
  }
  ASSERT_EQ(fcntl(ends[1], F_SETFL, 0), 0);
  const pid_t child = fork();
  if (child == 0) {
    alarm(1);
    kevent_dump(queue.fd(), ends[1]);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
  close(ends[0]);
  close(ends[1]);
}

// A thread that writes to a descriptor that takes no more holds nothing of the queue.
TEST(Dump, LeavesTheQueueToOthersWhileItWrites) {
  const Queue queue;
  std::vector<timer_t> timers;
  const auto make = [&](clockid_t clock) {
    sigevent notification;
    kevent_sigevent(&notification, queue.fd(), nullptr);
    ASSERT_EQ(timer_create(clock, &notification, &timers.emplace_back()), 0);
  };
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI,
                                CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID}) {
    make(clock);
  }
  // A text long enough for all that may be written at once to end in each of its parts.
  std::array<int, 2> hold;
  ASSERT_EQ(pipe2(hold.data(), O_CLOEXEC), 0);
  std::array<pthread_t, 5> threads;
  for (pthread_t& thread : threads) {
    const auto run = [](void* end) -> void* {
      char none;
      EXPECT_EQ(read(*static_cast<int*>(end), &none, 1), 0);
      return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, nullptr, run, hold.data()), 0);
    clockid_t clock;
    ASSERT_EQ(pthread_getcpuclockid(thread, &clock), 0);
    make(clock);
  }
  // Wherever in the text the descriptor is full.
  constexpr int kPage = 4096;
  const auto size = static_cast<int>(DumpOf(queue.fd()).size());
  for (int room = 0; room < size; room += 100) {
    std::array<int, 2> ends;
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    ASSERT_GE(fcntl(ends[1], F_SETPIPE_SZ, kPage), kPage);
    const std::vector<char> fill(static_cast<size_t>(fcntl(ends[1], F_GETPIPE_SZ) - room));
    ASSERT_EQ(write(ends[1], fill.data(), fill.size()), static_cast<ssize_t>(fill.size()));
    Thread writer([&] { EXPECT_EQ(kevent_dump(queue.fd(), ends[1]), 0); });
    writer.AwaitAsleep();
    make(CLOCK_MONOTONIC);
    std::vector<char> all(fill.size() + static_cast<size_t>(2 * size));
    for (size_t taken = 0; taken < fill.size() + static_cast<size_t>(room) + 1;) {
      const ssize_t bytes = read(ends[0], all.data(), all.size());
      ASSERT_GT(bytes, 0);
      taken += static_cast<size_t>(bytes);
    }
    writer.Join();
    close(ends[0]);
    close(ends[1]);
  }
  for (const timer_t timer : timers) timer_delete(timer);
  close(hold[1]);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  close(hold[0]);
}

TEST(Dump, FailsAsOtherCallsDo) {
  const Queue queue;
  errno = 0;
  EXPECT_EQ(kevent_dump(-1, STDERR_FILENO), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(kevent_dump(STDERR_FILENO, STDERR_FILENO), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(kevent_dump(queue.fd(), -1), -1);
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace kevent_test
