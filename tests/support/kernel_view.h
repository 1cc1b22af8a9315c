// SPDX-License-Identifier: MIT
//
// What the kernel has of a queue.

#ifndef KEVENT_TESTS_SUPPORT_KERNEL_VIEW_H_
#define KEVENT_TESTS_SUPPORT_KERNEL_VIEW_H_

#include <sys/timerfd.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "tests/support/clock.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {

// "[timerfd]" or "[eventpoll]", or "pipe:" and a number; otherwise a path or the like.
inline std::string KindOf(int descriptor) {
  char target[256];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(link.c_str(), target, sizeof target);
  const std::string kind(target, length < 0 ? 0 : static_cast<size_t>(length));
  const std::string anonymous = "anon_inode:";
  return kind.compare(0, anonymous.size(), anonymous) == 0 ? kind.substr(anonymous.size()) : kind;
}

// Whether a timerfd on CLOCK_MONOTONIC expires at this moment or before, or has
// expired.
inline bool ExpiresBy(int timerfd, Nanos moment) {
  const Nanos now = Now(CLOCK_MONOTONIC);  // first: what remains is counted from later
  itimerspec setting = {};
  EXPECT_EQ(timerfd_gettime(timerfd, &setting), 0) << std::strerror(errno);
  const Nanos remaining = ToNanos(setting.it_value);
  if (remaining == 0) return Readable(timerfd);  // or it is disarmed
  return now + remaining <= moment;
}

// A queue, and the descriptors that it has inside.
class OpenedQueue {
 public:
  OpenedQueue() : before_(OpenDescriptors()), queue_(new Queue), internal_(OpenDescriptors()) {
    for (const int descriptor : before_) internal_.erase(descriptor);
    internal_.erase(queue_->fd());
    for (const int descriptor : internal_) {
      const std::string kind = KindOf(descriptor);
      if (kind == "[timerfd]") timerfd_ = descriptor;
      if (kind.starts_with("pipe:")) always_ready_ = descriptor;
      if (kind == "[eventpoll]") epoll_ = descriptor;
    }
    EXPECT_TRUE(timerfd_ >= 0 && always_ready_ >= 0 && epoll_ >= 0);
  }

  int fd() const { return queue_->fd(); }
  const std::set<int>& internal() const { return internal_; }
  int timerfd() const { return timerfd_; }
  int always_ready() const { return always_ready_; }
  int epoll() const { return epoll_; }

  int Release() { return queue_->Release(); }
  void Close() { queue_->Close(); }
  // Closes it, and expects that nothing of it is left.
  void CloseWhole() {
    Close();
    EXPECT_EQ(OpenDescriptors(), before_);
  }

 private:
  const std::set<int> before_;
  const std::unique_ptr<Queue> queue_;
  std::set<int> internal_;
  int timerfd_ = -1;
  int always_ready_ = -1;
  int epoll_ = -1;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_KERNEL_VIEW_H_
