// SPDX-License-Identifier: MIT
//
// Threads that sleep, and knowing that they do.

#ifndef KEVENT_TESTS_SUPPORT_THREADS_H_
#define KEVENT_TESTS_SUPPORT_THREADS_H_

#include <kevent/kevent.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <optional>
#include <vector>

#include "tests/support/clock.h"

namespace kevent_test {

// A POSIX thread that can be cancelled and signalled.  Joined when it goes out
// of scope: a thread that never returns is a matter for the test's timeout.
class Thread {
 public:
  explicit Thread(std::function<void()> body) : body_(std::move(body)) {
    pthread_create(&thread_, nullptr, &Thread::Start, this);
  }
  ~Thread() { Join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  // Returns when the thread sleeps in the kernel, or has finished.  That it
  // sleeps there for what the test is about is likely, not certain: tests rely
  // on it to take the path that they mean, not for their result.
  void AwaitAsleep() const {
    while (State() != 'S' && !finished_) usleep(100);
  }

  // Returns when it sleeps and stays asleep; never, if it wakes again and again.
  void AwaitQuiet() const {
    constexpr int kLooks = 100;
    for (int quiet = 0; quiet < kLooks;) quiet = State() == 'S' ? quiet + 1 : 0;
  }

  void Kill(int signal) const { pthread_kill(thread_, signal); }
  void Cancel() const { pthread_cancel(thread_); }
  bool finished() const { return finished_; }

  // Whether it was cancelled.
  bool Join() {
    if (!joined_) pthread_join(thread_, &result_);
    joined_ = true;
    return result_ == PTHREAD_CANCELED;
  }

 private:
  static void* Start(void* self) {
    auto* thread = static_cast<Thread*>(self);
    thread->id_ = static_cast<pid_t>(syscall(SYS_gettid));
    thread->body_();
    thread->finished_ = true;
    return nullptr;
  }

  // As proc(5) has it: R, S, …; 0 while there is none.
  char State() const {
    const pid_t id = id_;
    if (id == 0) return 0;
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    FILE* file = std::fopen(path, "re");
    if (file == nullptr) return 0;
    char state = 0;
    // The second field is the name in parentheses: ours has none inside.
    if (std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 0;
    std::fclose(file);
    return state;
  }

  const std::function<void()> body_;
  std::atomic<pid_t> id_ = 0;
  std::atomic<bool> finished_ = false;
  pthread_t thread_;
  bool joined_ = false;
  void* result_ = nullptr;
};

// A thread in one call of kevent_get_events.
class Sleeper {
 public:
  Sleeper(int queue, unsigned min, unsigned max, std::optional<Nanos> timeout = std::nullopt)
      : events_(max), thread_([this, queue, min, max, timeout] {
          const timespec limit = ToTimespec(timeout.value_or(0));
          result_ =
              kevent_get_events(queue, min, max, timeout ? &limit : nullptr, events_.data(), 0);
          error_ = errno;
        }) {}

  Thread& thread() { return thread_; }
  void AwaitAsleep() const { thread_.AwaitAsleep(); }
  bool returned() const { return thread_.finished(); }

  // Wait for its return.
  int result() {
    thread_.Join();
    return result_;
  }
  int error() {
    thread_.Join();
    return error_;
  }
  const ukevent& event(size_t index) {
    thread_.Join();
    return events_[index];
  }

 private:
  std::vector<ukevent> events_;
  int result_ = 0;
  int error_ = 0;
  Thread thread_;  // last: it uses the others
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_THREADS_H_
