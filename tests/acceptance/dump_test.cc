// SPDX-License-Identifier: MIT
//
// The text that kevent_dump writes for people.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "tests/support/queue.h"

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
  EXPECT_THAT(text, testing::HasSubstr("clock 1: timerfd"));
  EXPECT_THAT(text, testing::HasSubstr("1 kevents"));
  EXPECT_THAT(text, testing::EndsWith("\n"));
  // It takes nothing.
  EXPECT_EQ(CollectReady(queue.fd()), std::vector<uintptr_t>{2});
}

// A descriptor that takes no more may keep the caller for as long as it likes: neither its
// signals nor the queue wait for that.
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
