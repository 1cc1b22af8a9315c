// SPDX-License-Identifier: MIT
//
// lio_listio whose entries, or which itself, complete into a queue.

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Lists : public testing::Test {
 protected:
  Lists() {
    file_.Write("0123456789");
    for (size_t i = 0; i < kEntries; ++i) {
      Prepare(&controls_[i], queue_.fd(), file_.fd(), &bytes_[i], 1, static_cast<off_t>(i));
      controls_[i].aio_lio_opcode = LIO_READ;
      list_[i] = &controls_[i];
    }
    kevent_sigevent(&all_, queue_.fd(), this);
  }

  int Start(int mode, sigevent* notification = nullptr) {
    return lio_listio(mode, list_.data(), static_cast<int>(kEntries), notification);
  }
  void ExpectList(const ukevent& event, uint32_t count, uint32_t failed) const {
    EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_LIO));
    EXPECT_EQ(event.event, static_cast<uint32_t>(KEVENT_LIO_DONE));
    EXPECT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(list_.data()));
    EXPECT_EQ(event.ptr, this);
    EXPECT_EQ(event.ret_data[0], count);
    EXPECT_EQ(event.ret_data[1], failed);
  }
  // Of the first entries, each of one byte; where threads do them, in any order.
  void ExpectCompletions(std::vector<ukevent> events) const {
    std::sort(events.begin(), events.end(),
              [](const ukevent& a, const ukevent& b) { return a.id.raw_u64 < b.id.raw_u64; });
    for (size_t i = 0; i < events.size(); ++i) ExpectCompletion(events[i], controls_[i], 1);
  }
  void Silence(aiocb* control) { control->aio_sigevent.sigev_notify = SIGEV_NONE; }

  static constexpr size_t kEntries = 5;
  Queue queue_;
  TemporaryFile file_;
  std::array<aiocb, kEntries> controls_;
  std::array<char, kEntries> bytes_ = {};
  std::array<aiocb*, kEntries> list_ = {};
  sigevent all_ = {};
};

TEST_F(Lists, EntriesAndThenTheListComplete) {
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  const std::vector<ukevent> events = Collect(queue_.fd(), kEntries + 1, 10);
  ASSERT_EQ(events.size(), kEntries + 1);
  ExpectCompletions({events.begin(), events.begin() + kEntries});
  ExpectList(events[kEntries], kEntries, 0);
  EXPECT_EQ(std::string(bytes_.data(), kEntries), "01234");
}

TEST_F(Lists, TheListAloneIfTheEntriesAreSilent) {
  for (aiocb& control : controls_) Silence(&control);
  controls_[2].aio_fildes = -1;
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  const std::vector<ukevent> events = Collect(queue_.fd(), 1, 10);
  ASSERT_EQ(events.size(), 1);
  ExpectList(events[0], kEntries, 1);
  EXPECT_EQ(ErrorOf(controls_[2]), EBADF);
  EXPECT_EQ(ErrorOf(controls_[3]), 0);
}

TEST_F(Lists, ItIsDoneWithItsLast) {
  const Pipe pipe;
  for (aiocb& control : controls_) Silence(&control);
  controls_[1].aio_fildes = pipe.from();
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  const std::array<const aiocb*, 1> others = {&controls_[4]};
  EXPECT_EQ(aio_suspend(others.data(), 1, nullptr), 0);
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
  pipe.Put("p");
  ExpectList(Collect(queue_.fd(), 1, 1).at(0), kEntries, 0);
}

TEST_F(Lists, NothingToDoIsDone) {
  list_.fill(nullptr);
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  ExpectList(Collect(queue_.fd(), 1, 1).at(0), 0, 0);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list_.data(), 0, &all_), 0);
  ExpectList(Collect(queue_.fd(), 1, 1).at(0), 0, 0);
}

// As the C library notifies of such a list: the call fails because of entries, and the list is
// done.
TEST_F(Lists, OneWhoseEntriesAreRefusedIsDone) {
  for (aiocb& control : controls_) control.aio_reqprio = 21;
  EXPECT_EQ(Start(LIO_NOWAIT, &all_), -1);
  EXPECT_EQ(errno, EINVAL);
  std::vector<ukevent> events = Collect(queue_.fd(), 1, 10);
  ASSERT_EQ(events.size(), 1);
  ExpectList(events[0], 0, 0);

  controls_[1].aio_reqprio = 0;
  EXPECT_EQ(Start(LIO_NOWAIT, &all_), -1);
  events = Collect(queue_.fd(), 2, 10);
  ASSERT_EQ(events.size(), 2);
  ExpectCompletion(events[0], controls_[1], 1);
  ExpectList(events[1], 1, 0);
}

// As in the C library, whoever makes the thread: one of ours for a pipe, the
// caller for what is in the page cache.
TEST_F(Lists, AThreadThatIsToldHasNoSignalBlocked) {
  static std::atomic<int> s_blocked;
  static std::atomic<int> s_told;
  s_blocked = s_told = 0;
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const Pipe pipe;
  pipe.Put("p");
  controls_[1].aio_fildes = pipe.from();
  for (size_t i = 0; i < 2; ++i) {
    sigevent& event = controls_[i].aio_sigevent;
    event = {};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = [](sigval) {
      sigset_t mask;
      pthread_sigmask(SIG_BLOCK, nullptr, &mask);
      if (sigisemptyset(&mask) == 0) ++s_blocked;
      ++s_told;
      s_told.notify_one();
    };
  }
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  for (int told = 0; told < 2; told = s_told) s_told.wait(told);
  EXPECT_EQ(s_blocked, 0);
  EXPECT_EQ(Collect(queue_.fd(), 4, 10).size(), 4);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Lists, WaitReturnsWhenAllAreDoneAndIgnoresTheNotification) {
  list_[3]->aio_lio_opcode = LIO_NOP;
  list_[4] = nullptr;
  ASSERT_EQ(Start(LIO_WAIT, &all_), 0);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ErrorOf(controls_[i]), 0);
  const std::vector<ukevent> events = Collect(queue_.fd(), 0, 10);
  ASSERT_EQ(events.size(), 3);
  ExpectCompletions(events);
}

TEST_F(Lists, WaitSaysWhenOneHasFailed) {
  controls_[0].aio_fildes = -1;
  EXPECT_EQ(Start(LIO_WAIT), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(Collect(queue_.fd(), kEntries, 10).size(), kEntries);
}

TEST_F(Lists, BadMode) {
  EXPECT_EQ(Start(17, &all_), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
}

std::atomic<int> g_called = 0;
int g_handled;

TEST_F(Lists, OtherNotificationsInTheSameList) {
  // Handled: one that is blocked would find the thread that is told, where it is
  // not.
  const Pipe handled;
  g_handled = handled.to();
  struct sigaction action = {};
  struct sigaction before;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    (void)!write(g_handled, info, sizeof *info);
  };
  ASSERT_EQ(sigaction(SIGRTMIN, &action, &before), 0);
  controls_[0].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  controls_[0].aio_sigevent.sigev_signo = SIGRTMIN;
  controls_[0].aio_sigevent.sigev_value.sival_int = 7;
  Silence(&controls_[1]);
  sigevent& by_thread = controls_[2].aio_sigevent;
  by_thread = {};
  by_thread.sigev_notify = SIGEV_THREAD;
  by_thread.sigev_notify_function = [](sigval value) {
    g_called = value.sival_int;
    g_called.notify_all();
  };
  by_thread.sigev_value.sival_int = 9;
  ASSERT_EQ(Start(LIO_NOWAIT, &all_), 0);
  // Its handler would interrupt the collection.
  siginfo_t info;
  ASSERT_EQ(read(handled.from(), &info, sizeof info), static_cast<ssize_t>(sizeof info));
  EXPECT_EQ(Collect(queue_.fd(), 3, 10).size(), 3);
  EXPECT_EQ(info.si_signo, SIGRTMIN);
  EXPECT_EQ(info.si_code, SI_ASYNCIO);
  EXPECT_EQ(info.si_value.sival_int, 7);
  g_called.wait(0);
  EXPECT_EQ(g_called, 9);
  sigaction(SIGRTMIN, &before, nullptr);
}

}  // namespace
}  // namespace kevent_test
