// SPDX-License-Identifier: MIT
//
// Coroutines on a queue: one writes lines into a pipe with pauses, one copies what it reads into
// a file by asynchronous I/O, and one shows that time passes until it is cancelled.
//
//     c++ -std=c++20 coroutines.cc -lkevent
//
// The exit status is 1 if the file has not what was written.

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <kevent/kevent.hpp>
#include <optional>
#include <span>
#include <string>
#include <system_error>

namespace {

using namespace std::chrono_literals;
using kevent::Queue;
using kevent::Task;

std::system_error LastError(const char* call) { return {errno, std::generic_category(), call}; }

Task<std::string> WriteLines(Queue& queue, int pipe) {
  std::string all;
  for (int i = 1; i <= 5; ++i) {
    co_await queue.after(15ms);
    const std::string line = "line " + std::to_string(i) + "\n";
    if (write(pipe, line.data(), line.size()) == -1) throw LastError("write");
    all += line;
  }
  close(pipe);
  co_return all;
}

// Returns how many bytes it has copied.
Task<std::size_t> Copy(Queue& queue, int pipe, int file) {
  std::array<std::byte, 256> buffer;
  std::size_t copied = 0;
  for (;;) {
    // A read of a pipe by asynchronous I/O could not be taken back; readiness can.
    co_await queue.ready(pipe, kevent::Interest::kRead);
    const ssize_t length = read(pipe, buffer.data(), buffer.size());
    if (length == -1) throw LastError("read");
    if (length == 0) co_return copied;
    const std::span<const std::byte> bytes(buffer.data(), static_cast<std::size_t>(length));
    copied += co_await queue.write(file, bytes, static_cast<off_t>(copied));
  }
}

Task<> ShowTime(Queue& queue) {
  const auto begin = std::chrono::steady_clock::now();
  for (auto next = begin + 10ms;; next += 10ms) {
    co_await queue.until(next);
    std::printf("%d ms\n", static_cast<int>((next - begin) / 1ms));
  }
}

// Exceptions of the two pass through here.
Task<bool> CopyLines(Queue& queue) {
  std::array<int, 2> ends;
  if (pipe(ends.data()) == -1) throw LastError("pipe");
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) throw LastError("tmpfile");

  Task<std::string> writer = WriteLines(queue, ends[1]);
  const std::size_t copied = co_await Copy(queue, ends[0], fileno(file));
  const std::string all = co_await writer;

  std::string found(all.size() + 1, '\0');
  found.resize(std::fread(found.data(), 1, found.size(), file));
  std::fclose(file);
  close(ends[0]);
  std::printf("%zu bytes copied\n", copied);
  co_return found == all;
}

bool Run() {
  Queue queue;
  std::optional<Task<>> clock(ShowTime(queue));
  Task<bool> copier = CopyLines(queue);
  while (!copier.done()) queue.run_once();
  clock.reset();  // cancels it
  return copier.get();
}

}  // namespace

int main() {
  try {
    return Run() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
