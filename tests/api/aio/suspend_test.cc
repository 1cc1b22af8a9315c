// SPDX-License-Identifier: MIT
//
// Threads that wait for operations: aio_suspend, and lio_listio with LIO_WAIT.

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>

#include "tests/support/aio.h"
#include "tests/support/aio_fixture.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

TEST_F(Aio, SuspendReturnsWhenOneIsDone) {
  const Pipe pipe;
  Read(&control_, pipe.from(), buffer_.data(), 1);
  const std::array<const aiocb*, 2> list = {nullptr, &control_};
  const timespec soon = {0, 1'000'000};
  EXPECT_EQ(aio_suspend(list.data(), 2, &soon), -1);
  EXPECT_EQ(errno, EAGAIN);
  Thread writer([&pipe] { pipe.Put("x"); });
  EXPECT_EQ(aio_suspend(list.data(), 2, nullptr), 0);
  EXPECT_EQ(ErrorOf(control_), 0);
  writer.Join();
  ExpectCompletion(Next(), control_, 1);
}

// As in the C library: ended by a handler, restarted after one with SA_RESTART
// unless there is a timeout.
class AioAndHandlers : public Aio, public testing::WithParamInterface<int> {
 protected:
  AioAndHandlers() {
    s_handled = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { s_handled = s_handled + 1; };
    action.sa_flags = GetParam();
    sigaction(SIGUSR1, &action, &before_);
    Read(&control_, pipe_.from(), buffer_.data(), 1);
    list_ = &control_;
  }
  ~AioAndHandlers() override { sigaction(SIGUSR1, &before_, nullptr); }

  void ExpectAfterHandlers(const std::function<int()>& wait, bool restarted) {
    int result = 0;
    int error = 0;
    Thread sleeper([&] {
      result = wait();
      error = errno;
    });
    sleeper.AwaitAsleep();
    do {
      sleeper.Kill(SIGUSR1);
      usleep(1'000);
    } while (restarted ? s_handled < 3 : !sleeper.finished());
    if (restarted) pipe_.Put("x");
    sleeper.Join();
    EXPECT_EQ(result, restarted ? 0 : -1);
    if (!restarted) {
      EXPECT_EQ(error, EINTR);
      pipe_.Put("x");
    }
    ExpectCompletion(Next(), control_, 1);
  }

  static inline std::atomic<int> s_handled;
  struct sigaction before_ = {};
  const Pipe pipe_;
  const aiocb* list_;
};

TEST_P(AioAndHandlers, Suspend) {
  ExpectAfterHandlers([this] { return aio_suspend(&list_, 1, nullptr); }, GetParam() != 0);
}

TEST_P(AioAndHandlers, SuspendForATime) {
  const timespec long_time = {1'000, 0};
  ExpectAfterHandlers([&] { return aio_suspend(&list_, 1, &long_time); }, false);
}

TEST_P(AioAndHandlers, ListThatIsWaitedFor) {
  char byte = '?';
  aiocb second;
  Prepare(&second, queue_.fd(), pipe_.from(), &byte, 1);
  second.aio_lio_opcode = LIO_READ;
  aiocb* entry = &second;
  const bool restarted = GetParam() != 0;
  // Its read waits in line behind the first one.
  ExpectAfterHandlers(
      [&] {
        if (restarted) pipe_.Put("y");
        return lio_listio(LIO_WAIT, &entry, 1, nullptr);
      },
      restarted);
  if (!restarted) pipe_.Put("y");
  ExpectCompletion(Next(), second, 1);
}

INSTANTIATE_TEST_SUITE_P(With, AioAndHandlers, testing::Values(0, SA_RESTART));

// The thread that waits is held by a handler meanwhile, and finds the control block in flight, as
// it was before.
TEST_F(Aio, SuspendReturnsForOneThatWasBegunAnewSince) {
  static std::atomic<bool> s_held;
  static std::atomic<bool> s_may_go_on;
  s_held = s_may_go_on = false;
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = [](int) {
    s_held = true;
    while (!s_may_go_on) usleep(1'000);
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, &before);
  const Pipe first;
  const Pipe second;
  Read(&control_, first.from(), buffer_.data(), 1);
  const aiocb* list = &control_;
  int result = -2;
  Thread sleeper([&] { result = aio_suspend(&list, 1, nullptr); });
  sleeper.AwaitAsleep();
  sleeper.Kill(SIGUSR1);
  while (!s_held) usleep(1'000);
  first.Put("x");
  ExpectCompletion(Next(), control_, 1);
  Read(&control_, second.from(), buffer_.data(), 1);
  s_may_go_on = true;
  sleeper.Join();
  EXPECT_EQ(result, 0);
  sigaction(SIGUSR1, &before, nullptr);
  second.Put("y");
  ExpectCompletion(Next(), control_, 1);
}

TEST_F(Aio, SuspendSeesThoseOfTheCLibraryToo) {
  for (const bool ours_first : {true, false}) {
    const Pipe ours;
    const Pipe theirs;
    aiocb other = {};
    other.aio_fildes = theirs.from();
    other.aio_buf = &buffer_[1];
    other.aio_nbytes = 1;
    other.aio_sigevent.sigev_notify = SIGEV_NONE;
    ASSERT_EQ(aio_read(&other), 0);
    Read(&control_, ours.from(), buffer_.data(), 1);
    const std::array<const aiocb*, 2> list = {&control_, &other};
    Thread writer([&] { (ours_first ? ours : theirs).Put("x"); });
    EXPECT_EQ(aio_suspend(list.data(), 2, nullptr), 0);
    EXPECT_EQ(ErrorOf(control_), ours_first ? 0 : EINPROGRESS);
    EXPECT_EQ(ErrorOf(other), ours_first ? EINPROGRESS : 0);
    writer.Join();
    (ours_first ? theirs : ours).Put("x");
    const std::array<const aiocb*, 1> rest = {&other};
    if (ours_first) {
      EXPECT_EQ(aio_suspend(rest.data(), 1, nullptr), 0);
    }
    ExpectCompletion(Next(), control_, 1);
  }
}

// A control block that nobody was given, and that says that it is in progress.
TEST_F(Aio, SuspendTakesACopyForOneInFlightBesideAnOperationOfAQueues) {
  const Pipe ours;
  Read(&control_, ours.from(), buffer_.data(), 1);
  const aiocb copy = control_;
  const std::array<const aiocb*, 2> list = {&copy, &control_};
  EXPECT_EQ(aio_suspend(list.data(), 1, nullptr), 0);
  const timespec soon = {0, 1'000'000};
  EXPECT_EQ(aio_suspend(list.data(), 2, &soon), -1);
  EXPECT_EQ(errno, EAGAIN);
  ours.Put("x");
  EXPECT_EQ(aio_suspend(list.data(), 2, nullptr), 0);
  EXPECT_EQ(ErrorOf(control_), 0);
  ExpectCompletion(Next(), control_, 1);
}

}  // namespace
}  // namespace kevent_test
