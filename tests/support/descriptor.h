// SPDX-License-Identifier: MIT
//
// Descriptors that tests hold by value.

#ifndef KEVENT_TESTS_SUPPORT_DESCRIPTOR_H_
#define KEVENT_TESTS_SUPPORT_DESCRIPTOR_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace kevent_test {

// A descriptor that is closed when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }

  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) {
      EXPECT_EQ(close(fd_), 0) << std::strerror(errno);
    }
    fd_ = -1;
  }

 private:
  int fd_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_DESCRIPTOR_H_
