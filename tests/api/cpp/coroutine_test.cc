// SPDX-License-Identifier: MIT
//
// Coroutines that await a queue: results, errors, exceptions, and being destroyed meanwhile.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <kevent/kevent.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;
using kevent::Interest;
using kevent::Queue;
using kevent::Task;
using std::chrono::steady_clock;

template <class T>
T Finish(Queue& queue, Task<T> task) {
  const kevent_test::Watchdog watchdog;
  while (!task.done()) queue.run_once();
  return task.get();
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_.data()), 0); }
  ~Pipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reader() const { return ends_[0]; }
  void Send() const { EXPECT_EQ(write(ends_[1], "x", 1), 1); }

 private:
  std::array<int, 2> ends_ = {};
};

// ---- What can be awaited -------------------------------------------------------

Task<> AwaitMoments(Queue& queue) {
  const auto deadline = steady_clock::now() + 2ms;
  const kevent::Expiration expiration = co_await queue.until(deadline);
  EXPECT_GE(steady_clock::now(), deadline);
  EXPECT_EQ(expiration.overruns, 0U);
  const auto date = std::chrono::system_clock::now() + 1ms;
  co_await queue.until(date);
  EXPECT_GE(std::chrono::system_clock::now(), date);
  const auto begin = steady_clock::now();
  co_await queue.after(1ms);
  EXPECT_GE(steady_clock::now() - begin, 1ms);
  co_await queue.after(-1h);
  co_await queue.until(kevent::BootClock::now() - 1h);
}

TEST(Coroutine, AwaitsMoments) {
  Queue queue;
  Finish(queue, AwaitMoments(queue));
}

Task<std::uint32_t> AwaitReadiness(Queue& queue, int fd) {
  const kevent::Readiness ready = co_await queue.ready(fd, Interest::kRead);
  co_return ready.bits;
}

TEST(Coroutine, AwaitsADescriptor) {
  Queue queue;
  const Pipe pipe;
  Task<std::uint32_t> task = AwaitReadiness(queue, pipe.reader());
  EXPECT_EQ(queue.poll(), 0U);
  pipe.Send();
  EXPECT_EQ(Finish(queue, std::move(task)), static_cast<std::uint32_t>(Interest::kRead));
  // It is ready already.
  EXPECT_EQ(Finish(queue, AwaitReadiness(queue, pipe.reader())), 1U);
}

Task<int> AwaitProcess(Queue& queue, pid_t process) {
  const kevent::ProcessExit exit = co_await queue.exit_of(process);
  co_return exit.status.value();
}

TEST(Coroutine, AwaitsTheEndOfAProcess) {
  Queue queue;
  const pid_t child = fork();
  if (child == 0) _exit(5);
  EXPECT_EQ(WEXITSTATUS(Finish(queue, AwaitProcess(queue, child))), 5);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

Task<int> AwaitSignal(Queue& queue) {
  const kevent::SignalReceipt receipt = co_await queue.signal(SIGUSR2);
  co_return receipt.signal;
}

TEST(Coroutine, AwaitsASignal) {
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
  Queue queue;
  Task<int> task = AwaitSignal(queue);
  ASSERT_EQ(kill(getpid(), SIGUSR2), 0);
  EXPECT_EQ(Finish(queue, std::move(task)), SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

Task<std::string> Copy(Queue& queue, int fd) {
  const std::string text = "from a coroutine";
  const std::size_t written =
      co_await queue.write(fd, std::as_bytes(std::span(text.data(), text.size())), 0);
  co_await queue.sync(fd);
  std::array<std::byte, 64> buffer;
  const std::size_t length = co_await queue.read(fd, buffer, 5);
  EXPECT_EQ(written, text.size());
  co_return std::string(reinterpret_cast<const char*>(buffer.data()), length);
}

TEST(Coroutine, AwaitsOperations) {
  Queue queue;
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(Finish(queue, Copy(queue, fileno(file))), "a coroutine");
  std::fclose(file);
}

// ---- Errors and exceptions ------------------------------------------------------

Task<> MeetErrors(Queue& queue) {
  std::error_code error;
  co_await queue.ready(9999, Interest::kRead, error);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  co_await queue.exit_of(-1, error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  co_await queue.signal(SIGKILL, error);
  EXPECT_EQ(error, std::errc::invalid_argument);
  std::array<std::byte, 1> buffer;
  EXPECT_EQ(co_await queue.read(9999, buffer, 0, error), 0U);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  co_await queue.sync(9999, error);
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
  co_await queue.after(0s, error);
  EXPECT_FALSE(error);
  co_await queue.read(9999, buffer, 0);
}

TEST(Coroutine, MeetsErrorsOfBothForms) {
  Queue queue;
  try {
    Finish(queue, MeetErrors(queue));
    FAIL() << "no exception";
  } catch (const std::system_error& thrown) {
    EXPECT_EQ(thrown.code(), std::errc::bad_file_descriptor);
  }
}

Task<int> Throw(Queue& queue) {
  co_await queue.after(0s);
  throw std::runtime_error("thrown");
}
Task<int> PassOn(Queue& queue) { co_return 1 + co_await Throw(queue); }
Task<std::string> Catch(Queue& queue) {
  try {
    co_await PassOn(queue);
  } catch (const std::runtime_error& error) {
    co_return error.what();
  }
  co_return "nothing";
}

TEST(Coroutine, ExceptionsPassThrough) {
  Queue queue;
  EXPECT_EQ(Finish(queue, Catch(queue)), "thrown");
  EXPECT_THROW(Finish(queue, PassOn(queue)), std::runtime_error);
}

// ---- Tasks ------------------------------------------------------------------------

Task<int> Add(Queue& queue, int one, int other) {
  if (one > 0) co_await queue.after(std::chrono::milliseconds(one));
  co_return one + other;
}
Task<int> Sum(Queue& queue) {
  Task<int> first = Add(queue, 1, 2);
  Task<int> second = Add(queue, 0, 4);  // done already
  EXPECT_TRUE(second.done());
  co_return co_await first + co_await second;
}

TEST(Coroutine, TasksAwaitTasks) {
  Queue queue;
  EXPECT_EQ(Finish(queue, Sum(queue)), 7);
  Task<int> empty;
  EXPECT_FALSE(empty);
  empty = Sum(queue);
  EXPECT_TRUE(empty);
  EXPECT_EQ(Finish(queue, std::move(empty)), 7);
}

// ---- Cancellation --------------------------------------------------------------------

// Says when it is destroyed.
class Guard {
 public:
  explicit Guard(int& destroyed) : destroyed_(&destroyed) {}
  ~Guard() { ++*destroyed_; }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  int* destroyed_;
};

Task<> WaitInside(Queue& queue, int fd, int what, int& destroyed) {
  const Guard guard(destroyed);
  switch (what) {
    case 0:
      co_await queue.after(1h);
      break;
    case 1:
      co_await queue.ready(fd, Interest::kRead);
      break;
    case 2:
      co_await queue.exit_of(getpid());
      break;
    default:
      co_await queue.until(std::chrono::system_clock::time_point::max());
  }
  ADD_FAILURE() << "resumed";
}
Task<> Wait(Queue& queue, int fd, int what, int& destroyed) {
  const Guard guard(destroyed);
  co_await WaitInside(queue, fd, what, destroyed);
  ADD_FAILURE() << "resumed";
}

TEST(Coroutine, ADestroyedOneWaitsNoMore) {
  Queue queue;
  for (int what = 0; what < 4; ++what) {
    const Pipe pipe;
    int destroyed = 0;
    {
      const Task<> task = Wait(queue, pipe.reader(), what, destroyed);
      EXPECT_EQ(queue.poll(), 0U);
    }
    EXPECT_EQ(destroyed, 2);
    pipe.Send();
    EXPECT_EQ(queue.poll(), 0U);
  }
}

Task<> WaitFor(Queue& queue, int fd) {
  co_await queue.ready(fd, Interest::kRead);
  ADD_FAILURE() << "resumed";
}
Task<> WaitForNow(Queue& queue) {
  co_await queue.after(0s);
  ADD_FAILURE() << "resumed";
}

// Not even an event that would find nobody.
Task<> Forward(Task<int>& task, int& result) { result = co_await task; }

// The task that it has waited for is another's, and goes on.
TEST(Coroutine, ADestroyedOneIsNotResumedByATask) {
  Queue queue;
  const Pipe pipe;
  auto read = [](Queue& of, int fd) -> Task<int> {
    co_await of.ready(fd, Interest::kRead);
    co_return 7;
  };
  Task<int> task = read(queue, pipe.reader());
  int first = 0;
  int second = 0;
  {
    const Task<> destroyed = Forward(task, first);
    EXPECT_FALSE(destroyed.done());
  }
  const Task<> other = Forward(task, second);
  pipe.Send();
  EXPECT_EQ(queue.run_once(), 1U);
  EXPECT_TRUE(task.done());
  EXPECT_TRUE(other.done());
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 7);
}

TEST(Coroutine, ADestroyedOneLeavesNothingInTheQueue) {
  Queue queue;
  const Pipe pipe;
  pipe.Send();
  for (int i = 0; i < 40; ++i) {  // more than a queue takes on one descriptor
    const Task<> descriptor = WaitFor(queue, pipe.reader());
    const Task<> moment = WaitForNow(queue);
    ASSERT_FALSE(descriptor.done());
  }
  std::array<ukevent, 4> room;
  EXPECT_TRUE(queue.collect(room, 0).empty());
}

// The event of the one that is destroyed is in the batch already.
TEST(Coroutine, OneMayBeDestroyedInTheBatchOfItsEvent) {
  Queue queue;
  const Pipe pipe;
  std::optional<Task<>> task;
  kevent::UserEvent event(queue, [&] { task.reset(); });
  task.emplace(WaitFor(queue, pipe.reader()));
  event.notify();
  pipe.Send();
  std::array<ukevent, 4> room;
  const auto events = queue.collect(room, 2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].type, static_cast<std::uint32_t>(KEVENT_POLL));
  EXPECT_EQ(queue.dispatch(events), 1U);
  EXPECT_FALSE(task);
}

Task<> ReadInto(Queue& queue, int fd, bool& resumed) {
  std::array<std::byte, 4> buffer;
  co_await queue.read(fd, buffer, 0);
  resumed = true;
}

// Its buffer is in the frame: the operation ends before that goes.
TEST(Coroutine, OneMayBeDestroyedDuringAnOperation) {
  const kevent_test::Watchdog watchdog;
  Queue queue;
  const Pipe pipe;
  bool resumed = false;
  std::optional<Task<>> first(ReadInto(queue, pipe.reader(), resumed));
  std::optional<Task<>> second(ReadInto(queue, pipe.reader(), resumed));
  second.reset();
  pipe.Send();
  first.reset();
  EXPECT_EQ(queue.poll(), 0U);
  EXPECT_FALSE(resumed);
}

// ---- Several threads ---------------------------------------------------------------------

Task<> Hop(Queue& queue, std::atomic<int>& left, int times) {
  for (int i = 0; i < times; ++i) co_await queue.after(std::chrono::microseconds(i % 7));
  if (left.fetch_sub(1) == 1) queue.stop();
}

TEST(Coroutine, AreResumedByWhicheverThreadRunsTheQueue) {
  const kevent_test::Watchdog watchdog;
  Queue queue;
  constexpr int kTasks = 50;
  std::atomic<int> left{kTasks};
  std::vector<Task<>> tasks;
  {
    kevent_test::Thread one([&] { queue.run(); });
    kevent_test::Thread other([&] { queue.run(); });
    tasks.reserve(kTasks);
    for (int i = 0; i < kTasks; ++i) tasks.push_back(Hop(queue, left, 100));
  }
  for (Task<>& task : tasks) {
    EXPECT_TRUE(task.done());
    task.get();
  }
}

}  // namespace
