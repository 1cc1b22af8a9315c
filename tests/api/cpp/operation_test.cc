// SPDX-License-Identifier: MIT
//
// kevent::Operation: reads, writes and syncs.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <kevent/kevent.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace {

using namespace std::chrono_literals;

class File {
 public:
  File() : file_(std::tmpfile()) { EXPECT_NE(file_, nullptr); }
  ~File() { std::fclose(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fileno(file_); }

 private:
  std::FILE* file_;
};

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Operation, WritesSyncsAndReads) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  const File file;
  const std::string text = "a queue";
  std::vector<std::size_t> bytes;
  const auto done = [&](const kevent::Completion& completion) {
    EXPECT_FALSE(completion.error) << completion.error.message();
    bytes.push_back(completion.bytes);
  };
  auto write = kevent::Operation::write(queue, file.fd(), Bytes(text), 0, done);
  while (bytes.size() < 1) queue.run_once();
  EXPECT_FALSE(write.in_flight());
  const auto sync = kevent::Operation::sync(queue, file.fd(), done);
  while (bytes.size() < 2) queue.run_once();
  std::array<std::byte, 100> buffer;
  const auto read = kevent::Operation::read(queue, file.fd(), buffer, 2, done);
  while (bytes.size() < 3) queue.run_once();
  EXPECT_EQ(bytes, (std::vector<std::size_t>{7, 0, 5}));
  EXPECT_EQ(std::memcmp(buffer.data(), "queue", 5), 0);
}

TEST(Operation, ReportsItsError) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<std::byte, 1> buffer;
  std::optional<std::error_code> error;
  const auto read =
      kevent::Operation::read(queue, 9999, buffer, 0, [&](const kevent::Completion& completion) {
        error = completion.error;
        EXPECT_EQ(completion.bytes, 0U);
      });
  while (!error) queue.run_once();
  EXPECT_EQ(*error, std::errc::bad_file_descriptor);
}

TEST(Operation, WithACookie) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  const File file;
  std::error_code error = std::make_error_code(std::errc::io_error);
  int cookie = 0;
  const auto write = kevent::Operation::write(queue, file.fd(), Bytes("abc"), 0, &cookie, error);
  EXPECT_FALSE(error);
  std::array<ukevent, 1> room;
  const auto events = queue.collect(room);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].ptr, &cookie);
  EXPECT_EQ(kevent::Completion(events[0]).bytes, 3U);
}

TEST(Operation, DestroyingEndsIt) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  std::array<std::byte, 4> buffer = {};
  {
    // The first one has begun, and waits for the pipe; the second one waits in line.
    std::optional<kevent::Operation> first(
        kevent::Operation::read(queue, ends[0], buffer, 0, [] { FAIL() << "destroyed"; }));
    const auto second =
        kevent::Operation::read(queue, ends[0], buffer, 0, [] { FAIL() << "destroyed"; });
    EXPECT_TRUE(first->in_flight());
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    close(ends[1]);
    first.reset();
  }
  EXPECT_EQ(queue.poll(), 0U);
  close(ends[0]);
}

// How many bytes a pipe holds.
int Held(int end) {
  int held = -1;
  EXPECT_EQ(ioctl(end, FIONREAD, &held), 0);
  return held;
}

// An operation ends on a thread of the library's while it is destroyed, which gives its control
// block and its buffer back: ThreadSanitizer says whether all that the thread has stored is seen.
TEST(Operation, IsSeenToHaveEndedByWhoDestroysIt) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  for (int round = 0; round < 5'000; ++round) {
    auto buffer = std::make_unique<std::array<std::byte, 1>>();
    std::optional<kevent::Operation> operation(
        kevent::Operation::read(queue, ends[0], *buffer, 0, [] { FAIL() << "destroyed"; }));
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    operation.reset();
    if (Held(ends[0]) != 0) {  // it had not begun
      ASSERT_EQ(read(ends[0], buffer->data(), 1), 1);
    }
    EXPECT_EQ((*buffer)[0], std::byte{'x'});
  }
  EXPECT_EQ(queue.poll(), 0U);
  close(ends[0]);
  close(ends[1]);
}

TEST(Operation, MovesWhileInFlight) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  std::array<std::byte, 4> buffer = {};
  std::size_t bytes = 0;
  kevent::Operation operation;
  EXPECT_FALSE(operation);
  operation = kevent::Operation::read(
      queue, ends[0], buffer, 0,
      [&](const kevent::Completion& completion) { bytes = completion.bytes; });
  kevent::Operation moved(std::move(operation));
  EXPECT_TRUE(moved.in_flight());
  ASSERT_EQ(write(ends[1], "xyz", 3), 3);
  while (bytes == 0) queue.run_once();
  EXPECT_EQ(bytes, 3U);
  close(ends[0]);
  close(ends[1]);
}

// A callback may own the buffer.  Whether its operation has begun when it is destroyed is up to
// the scheduler: one that has not is cancelled and reads nothing, and is tried again.
TEST(Operation, EndsBeforeItsCallbackGoes) {
  const kevent_test::Watchdog watchdog;
  struct Buffer {
    Buffer(std::atomic<bool>& is_gone, bool& was_read) : gone(&is_gone), read(&was_read) {}
    ~Buffer() {
      *read = bytes[0] != std::byte{};
      *gone = true;
    }
    std::array<std::byte, 1> bytes = {};
    std::atomic<bool>* gone;
    bool* read;
  };
  kevent::Queue queue;
  for (const bool by_assignment : {false, true}) {
    for (bool begun = false; !begun;) {
      std::array<int, 2> ends = {};
      ASSERT_EQ(pipe(ends.data()), 0);
      std::atomic<bool> gone{false};
      bool read = false;
      auto owned = std::make_shared<Buffer>(gone, read);
      const std::span<std::byte> room(owned->bytes);
      std::optional<kevent::Operation> operation(
          kevent::Operation::read(queue, ends[0], room, 0, [buffer = std::move(owned)] {}));
      kevent_test::Thread writer([&] {
        // As long as the operation goes on, so does the buffer.
        for (int i = 0; i < 50 && !gone; ++i) std::this_thread::sleep_for(1ms);
        EXPECT_EQ(write(ends[1], "x", 1), 1);
      });
      if (by_assignment) {
        *operation = kevent::Operation();
      } else {
        operation.reset();
      }
      writer.Join();
      EXPECT_TRUE(gone);
      begun = Held(ends[0]) == 0;
      EXPECT_EQ(read, begun);
      close(ends[0]);
      close(ends[1]);
    }
  }
}

TEST(Operation, CancelledInLine) {
  const kevent_test::Watchdog watchdog;
  kevent::Queue queue;
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe(ends.data()), 0);
  std::array<std::byte, 1> one;
  std::array<std::byte, 1> other;
  bool read = false;
  std::optional<std::error_code> error;
  const auto first = kevent::Operation::read(queue, ends[0], one, 0, [&] { read = true; });
  auto second = kevent::Operation::read(
      queue, ends[0], other, 0,
      [&](const kevent::Completion& completion) { error = completion.error; });
  second.cancel();
  while (!error) queue.run_once();
  EXPECT_EQ(*error, std::errc::operation_canceled);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  while (!read) queue.run_once();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
