// SPDX-License-Identifier: MIT
//
// A test with a queue that operations complete into.

#ifndef KEVENT_TESTS_SUPPORT_AIO_FIXTURE_H_
#define KEVENT_TESTS_SUPPORT_AIO_FIXTURE_H_

#include <array>
#include <cstring>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"

namespace kevent_test {

class Aio : public testing::Test {
 protected:
  // What completes next.
  ukevent Next() const {
    const std::vector<ukevent> events = Collect(queue_.fd(), 1, 1);
    return events.empty() ? ukevent{} : events[0];
  }
  void ExpectNothing() const { EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty()); }
  void Read(aiocb* control, int fd, void* buffer, size_t bytes, off_t offset = 0) const {
    Prepare(control, queue_.fd(), fd, buffer, bytes, offset);
    EXPECT_EQ(aio_read(control), 0) << std::strerror(errno);
  }
  void Write(aiocb* control, int fd, const void* buffer, size_t bytes, off_t offset = 0) const {
    Prepare(control, queue_.fd(), fd, const_cast<void*>(buffer), bytes, offset);
    EXPECT_EQ(aio_write(control), 0) << std::strerror(errno);
  }

  Queue queue_;
  // In an array, as it has an array of nothing and cannot be a member.
  std::array<aiocb, 1> controls_ = {};
  aiocb& control_ = controls_[0];
  std::array<char, 64> buffer_ = {};
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_AIO_FIXTURE_H_
