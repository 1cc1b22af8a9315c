// SPDX-License-Identifier: MIT
//
// What a child of fork may do with the objects that it has inherited: the queue is a fresh one,
// and the others are nothing to it.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <kevent/kevent.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;

// The status of a child that does this.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

kevent::Task<> AwaitPipe(kevent::Queue& queue, int fd) {
  co_await queue.ready(fd, kevent::Interest::kRead);
}

TEST(Fork, TheChildUsesTheQueueAnew) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  int runs = 0;
  std::optional<kevent::Timer> timer(std::in_place, queue, [&] { ++runs; });
  std::optional<kevent::UserEvent> event(std::in_place, queue, [&] { ++runs; });
  std::optional<kevent::DescriptorWatch> watch(std::in_place, queue, ends[0],
                                               kevent::Interest::kRead, [&] { ++runs; });
  std::optional<kevent::Task<>> task(AwaitPipe(queue, ends[0]));
  timer->expires_after(0s);
  event->notify();
  EXPECT_EQ(InChild([&] {
              if (queue.poll() != 0) return 1;
              std::error_code error;
              timer->expires_after(0s, error);
              if (error != std::errc::invalid_argument) return 2;
              event->notify();
              if (queue.poll() != 0) return 3;
              // New ones work, beside the old ones and in their place.
              kevent::Timer other(queue, [&] { runs += 10; });
              other.expires_after(0s);
              if (queue.run_once() != 1 || runs != 10) return 4;
              timer.reset();
              event.reset();
              watch.reset();
              task.reset();
              kevent::DescriptorWatch again(queue, ends[0], kevent::Interest::kRead,
                                            [&] { runs += 100; });
              if (queue.run_once() != 1 || runs != 110) return 5;
              return 0;
            }),
            0);
  // The parent has noticed nothing.
  while (runs < 3 || !task->done()) queue.run_once();
  EXPECT_GE(runs, 3);
  close(ends[0]);
  close(ends[1]);
}

TEST(Fork, TheChildWaitsForNoThreadOfItsParent) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  std::optional<kevent::UserEvent> event(std::in_place, queue, [&] {
    inside = true;
    while (!go_on) std::this_thread::yield();
  });
  event->notify();
  kevent_test::Thread collector([&] { queue.run_once(); });
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(InChild([&] {
              event.reset();
              int runs = 0;
              kevent::UserEvent other(queue, [&] { ++runs; });
              other.notify();
              return queue.run_once() == 1 && runs == 1 ? 0 : 1;
            }),
            0);
  go_on = true;
  collector.Join();
}

// Whoever gives a slot up takes a thread that has just entered it for one of the child's.
TEST(Fork, ANewSlotInTheChildHasNoThreadOfTheParent) {
  kevent::Queue queue;
  EXPECT_EQ(InChild([&] {
              kevent::detail::Slot* const slot = queue.slots()->take();
              const bool is_childs = slot->runner_forks == kevent::detail::forks;
              kevent::detail::Slots::put_back(*slot);
              return is_childs ? 0 : 1;
            }),
            0);
}

TEST(Fork, InACallback) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  int runs = 0;
  int status = -1;
  std::optional<kevent::UserEvent> event;
  std::optional<kevent::UserEvent> next(std::in_place, queue, [&] { ++runs; });
  event.emplace(queue, [&] {
    status = InChild([&] {
      event.reset();
      next.reset();
      kevent::UserEvent other(queue, [&] { runs += 10; });
      other.notify();
      return queue.run_once() == 1 && runs == 10 ? 0 : 1;
    });
  });
  event->notify();
  next->notify();
  EXPECT_EQ(queue.run_once(), 2U);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(runs, 1);
}

TEST(Fork, WhatAnExceptionHasLeftIsTheParents) {
  kevent::Queue queue;
  int runs = 0;
  kevent::UserEvent thrower(queue, [] { throw 1; });
  kevent::UserEvent left(queue, [&] { ++runs; });
  thrower.notify();
  left.notify();
  EXPECT_THROW(queue.run_once(), int);
  EXPECT_EQ(InChild([&] { return queue.poll() == 0 && runs == 0 ? 0 : 1; }), 0);
  EXPECT_EQ(queue.poll(), 1U);
  EXPECT_EQ(runs, 1);
}

TEST(Fork, TheChildHasNoOperation) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  std::array<std::byte, 1> buffer;
  bool done = false;
  std::optional<kevent::Operation> read(
      kevent::Operation::read(queue, ends[0], buffer, 0, [&] { done = true; }));
  EXPECT_TRUE(read->in_flight());
  EXPECT_EQ(InChild([&] {
              if (read->in_flight()) return 1;
              read.reset();  // does not wait
              return 0;
            }),
            0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  while (!done) queue.run_once();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
