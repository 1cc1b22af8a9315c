// SPDX-License-Identifier: MIT
//
// kevent_aio_start and kevent_aio_start_fsync: notifications beside the control blocks.

#include <sched.h>

#include <array>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

std::string_view BytesOf(const sigevent& notification) {
  return {reinterpret_cast<const char*>(&notification), sizeof notification};
}

class Beside : public testing::Test {
 protected:
  static constexpr int kMembers = 3;

  Beside() : queue_(kevent_init(nullptr, 0, 0)) {
    file_.Write("abc");
    for (int i = 0; i < kMembers; ++i) {
      aiocb& control = controls_[i];
      std::memset(&control, 0, sizeof control);
      control.aio_fildes = file_.fd();
      control.aio_buf = &bytes_[i];
      control.aio_nbytes = 1;
      control.aio_offset = i;
      control.aio_lio_opcode = LIO_READ;
      // The block's own notification is not looked at: this one would be refused.
      kevent_sigevent(&control.aio_sigevent, -1, nullptr);
      kevent_sigevent(&notifications_[i], queue_, &control);
      list_[i] = &control;
    }
    kevent_sigevent(&of_list_, queue_, this);
  }
  ~Beside() override { close(queue_); }

  int Start(int mode, sigevent* of_list = nullptr) {
    return kevent_aio_start(mode, list_, kMembers, notifications_, of_list);
  }
  // The cookies of so many events, in their order.
  std::vector<void*> Collect(unsigned count) const {
    std::vector<void*> cookies;
    while (cookies.size() < count) {
      ukevent event;
      if (kevent_get_events(queue_, 1, 1, nullptr, &event, 0) != 1) break;
      cookies.push_back(event.ptr);
    }
    return cookies;
  }
  bool IsEmpty() const {
    ukevent event;
    return kevent_get_events(queue_, 0, 1, nullptr, &event, 0) == 0;
  }
  void ExpectNobodyIsTold() const {
    for (const sigevent& notification : notifications_) {
      EXPECT_EQ(notification.sigev_notify, SIGEV_NONE);
    }
    EXPECT_EQ(of_list_.sigev_notify, SIGEV_NONE);
    EXPECT_TRUE(IsEmpty());
  }

  const Watchdog watchdog_;
  const TemporaryFile file_;
  const int queue_;
  char bytes_[kMembers] = {};
  aiocb controls_[kMembers];
  aiocb* list_[kMembers];
  sigevent notifications_[kMembers];
  sigevent of_list_;
};

TEST_F(Beside, AListTellsByTheArrayAndLeavesTheBlocks) {
  const sigevent before = controls_[0].aio_sigevent;
  ASSERT_EQ(Start(LIO_NOWAIT, &of_list_), 0) << std::strerror(errno);
  const std::vector<void*> told = Collect(kMembers + 1);
  EXPECT_EQ(told, (std::vector<void*>{&controls_[0], &controls_[1], &controls_[2], this}));
  EXPECT_EQ(std::string(bytes_, kMembers), "abc");
  for (const aiocb& control : controls_) {
    EXPECT_EQ(BytesOf(control.aio_sigevent), BytesOf(before));
  }
  for (const sigevent& notification : notifications_) {
    EXPECT_EQ(notification.sigev_notify, SIGEV_KEVENT);
  }
  EXPECT_EQ(of_list_.sigev_notify, SIGEV_KEVENT);
}

TEST_F(Beside, AListThatIsWaitedForTellsOfItsMembers) {
  ASSERT_EQ(Start(LIO_WAIT, &of_list_), 0) << std::strerror(errno);
  EXPECT_EQ(Collect(kMembers).size(), size_t{kMembers});
  EXPECT_TRUE(IsEmpty());
}

TEST_F(Beside, WithoutAnArrayTheBlocksHaveTheirOwn) {
  for (int i = 0; i < kMembers; ++i) controls_[i].aio_sigevent = notifications_[i];
  ASSERT_EQ(kevent_aio_start(LIO_NOWAIT, list_, kMembers, nullptr, nullptr), 0);
  EXPECT_EQ(Collect(kMembers).size(), size_t{kMembers});
}

TEST_F(Beside, WhatCannotBeginSaysThatNobodyIsTold) {
  controls_[0].aio_reqprio = 99;
  kevent_sigevent(&notifications_[2], -1, nullptr);
  ASSERT_EQ(Start(LIO_NOWAIT, &of_list_), -1);
  EXPECT_EQ(notifications_[0].sigev_notify, SIGEV_NONE);
  EXPECT_EQ(notifications_[1].sigev_notify, SIGEV_KEVENT);
  EXPECT_EQ(notifications_[2].sigev_notify, SIGEV_NONE);
  EXPECT_EQ(of_list_.sigev_notify, SIGEV_KEVENT);
  EXPECT_EQ(Collect(2), (std::vector<void*>{&controls_[1], this}));
  EXPECT_TRUE(IsEmpty());
  EXPECT_EQ(ErrorOf(controls_[0]), EINVAL);
  EXPECT_EQ(ErrorOf(controls_[1]), 0);
  EXPECT_EQ(ErrorOf(controls_[2]), EBADF);
}

TEST_F(Beside, AListNoMemberOfWhichCanBeginTells) {
  for (aiocb& control : controls_) control.aio_reqprio = 99;
  ASSERT_EQ(Start(LIO_NOWAIT, &of_list_), -1);
  for (const sigevent& notification : notifications_) {
    EXPECT_EQ(notification.sigev_notify, SIGEV_NONE);
  }
  EXPECT_EQ(of_list_.sigev_notify, SIGEV_KEVENT);
  EXPECT_EQ(Collect(1), std::vector<void*>{this});
  EXPECT_TRUE(IsEmpty());
}

TEST_F(Beside, AListThatIsWaitedForDoesNotLookAtItsNotification) {
  // A list of a thread with a table of descriptors of its own cannot begin.
  std::thread([this] {
    ASSERT_EQ(unshare(CLONE_FILES), 0);
    EXPECT_EQ(Start(LIO_WAIT, &of_list_), -1);
    EXPECT_EQ(errno, EBADF);
  }).join();
  EXPECT_EQ(of_list_.sigev_notify, SIGEV_KEVENT);
  for (const sigevent& notification : notifications_) {
    EXPECT_EQ(notification.sigev_notify, SIGEV_NONE);
  }
}

TEST_F(Beside, OneThatCannotBegin) {
  controls_[0].aio_reqprio = 99;
  EXPECT_EQ(kevent_aio_start(LIO_NOWAIT, list_, 1, notifications_, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(notifications_[0].sigev_notify, SIGEV_NONE);
  EXPECT_TRUE(IsEmpty());
}

TEST_F(Beside, AWrongModeBeginsNothing) {
  EXPECT_EQ(Start(77, &of_list_), -1);
  EXPECT_EQ(errno, EINVAL);
  ExpectNobodyIsTold();
}

TEST_F(Beside, AListWhoseQueueIsNoneBeginsNothing) {
  kevent_sigevent(&of_list_, file_.fd(), nullptr);
  EXPECT_EQ(Start(LIO_NOWAIT, &of_list_), -1);
  EXPECT_EQ(errno, EINVAL);
  ExpectNobodyIsTold();
}

TEST_F(Beside, MoreThanThereAreRecords) {
  constexpr size_t kMost = size_t{1} << 16;
  const Pipe pipe;
  aiocb waits = controls_[0];
  waits.aio_fildes = pipe.from();
  std::vector<aiocb> controls(kMost + 1, waits);
  std::vector<aiocb*> list;
  list.reserve(controls.size());
  for (aiocb& control : controls) list.push_back(&control);
  std::vector<sigevent> notifications(list.size(), notifications_[0]);
  EXPECT_EQ(kevent_aio_start(LIO_NOWAIT, list.data(), static_cast<int>(list.size()),
                             notifications.data(), nullptr),
            -1);
  EXPECT_EQ(errno, EAGAIN);
  size_t begun = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool has_begun = notifications[i].sigev_notify == SIGEV_KEVENT;
    EXPECT_EQ(has_begun, ErrorOf(controls[i]) != EAGAIN);
    begun += has_begun;
  }
  EXPECT_EQ(begun, kMost - 1) << "the list has a record, too";
  // In this order: a byte that comes first may have the next read begin, which then waits for ever.
  aio_cancel(pipe.from(), nullptr);
  pipe.Put("a");
  EXPECT_EQ(Collect(static_cast<unsigned>(begun)).size(), begun);
  EXPECT_TRUE(IsEmpty());
}

TEST_F(Beside, ASync) {
  ASSERT_EQ(kevent_aio_start_fsync(O_DSYNC, &controls_[1], &notifications_[0]), 0);
  EXPECT_EQ(Collect(1), std::vector<void*>{&controls_[0]});
  EXPECT_EQ(ErrorOf(controls_[1]), 0);
  EXPECT_EQ(kevent_aio_start_fsync(77, nullptr, &notifications_[0]), -1);
  EXPECT_EQ(errno, EINVAL);
  controls_[1].aio_fildes = -1;
  EXPECT_EQ(kevent_aio_start_fsync(O_SYNC, &controls_[1], &notifications_[0]), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(notifications_[0].sigev_notify, SIGEV_KEVENT);
  EXPECT_TRUE(IsEmpty());
}

}  // namespace
}  // namespace kevent_test
