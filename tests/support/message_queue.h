// SPDX-License-Identifier: MIT
//
// A POSIX message queue of the test's own.

#ifndef KEVENT_TESTS_SUPPORT_MESSAGE_QUEUE_H_
#define KEVENT_TESTS_SUPPORT_MESSAGE_QUEUE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace kevent_test {

class MessageQueue {
 public:
  explicit MessageQueue(const char* label)
      : name_("/kevent." + std::to_string(getpid()) + "." + label) {
    mq_attr attributes = {};
    attributes.mq_maxmsg = 8;
    attributes.mq_msgsize = 16;
    id_ = mq_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
    EXPECT_GE(id_, 0) << std::strerror(errno);
  }
  ~MessageQueue() {
    Close();
    mq_unlink(name_.c_str());
  }
  MessageQueue(const MessageQueue&) = delete;
  MessageQueue& operator=(const MessageQueue&) = delete;

  mqd_t id() const { return id_; }
  const char* name() const { return name_.c_str(); }
  void Send() const { EXPECT_EQ(mq_send(id_, "m", 1, 0), 0) << std::strerror(errno); }
  bool Receive() const {
    std::array<char, 16> message;
    return mq_receive(id_, message.data(), message.size(), nullptr) == 1;
  }
  void Close() {
    if (id_ >= 0) mq_close(id_);
    id_ = -1;
  }

 private:
  std::string name_;
  mqd_t id_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_MESSAGE_QUEUE_H_
