// SPDX-License-Identifier: MIT
//
// A queue that is closed drops all that it held, at once: a process has a number of
// records for operations, and none of them stays with a queue that nobody can ask.

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/aio_fixture.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// sigev_kevent(7): in flight, or completed and not collected.
constexpr size_t kRecords = 65536;

class ClosedQueues : public Aio {
 protected:
  ClosedQueues() { file_.Write("eight by"); }

  // Operations that are done and stay uncollected: as many as can be begun, but no more
  // than `most`.  Some are on the way together, where the kernel has threads of its own do
  // them (tmpfs on Linux 5.10).
  size_t Begin(int queue, size_t most) {
    constexpr size_t kTogether = 64;
    std::array<aiocb, kTogether> controls;
    size_t count = 0;
    for (; count < most; ++count) {
      aiocb& control = controls[count % kTogether];
      if (count >= kTogether) AwaitEnd(control);
      Prepare(&control, queue, file_.fd(), buffer_.data(), 8);
      if (aio_read(&control) != 0) {
        EXPECT_EQ(errno, EAGAIN);
        break;
      }
    }
    const size_t last = std::min(count, kTogether);
    for (size_t i = 1; i <= last; ++i) AwaitEnd(controls[(count - i) % kTogether]);
    return count;
  }

  // One whose page has left the cache meanwhile is done by another thread.
  void AwaitEnd(const aiocb& control) {
    const std::array<const aiocb*, 1> list = {&control};
    while (ErrorOf(control) == EINPROGRESS) {
      by_others_ = true;
      aio_suspend(list.data(), 1, nullptr);
    }
  }

  // That all records are free: uses them up.
  void ExpectAllFree() {
    size_t begun = Begin(queue_.fd(), kRecords);
    // Another thread gives a record back after the program sees the result.
    while (by_others_ && begun < kRecords) begun += Begin(queue_.fd(), kRecords - begun);
    EXPECT_EQ(begun, kRecords);
    EXPECT_EQ(Begin(queue_.fd(), 1), 0);
  }

  TemporaryFile file_;
  bool by_others_ = false;
};

TEST_F(ClosedQueues, KeepNoRecordOfWhatNobodyHasCollected) {
  auto closed = std::make_unique<Queue>();
  ASSERT_EQ(Begin(closed->fd(), kRecords + 1), kRecords);
  EXPECT_EQ(Begin(queue_.fd(), 1), 0);
  closed.reset();
  ExpectAllFree();
}

TEST_F(ClosedQueues, KeepNoneHoweverManyThereAre) {
  std::array<std::unique_ptr<Queue>, 10> closed;
  for (auto& queue : closed) {
    queue = std::make_unique<Queue>();
    ASSERT_EQ(Begin(queue->fd(), kRecords / 16), kRecords / 16);
    // Some of them in the list that collectors take from.
    EXPECT_EQ(Collect(queue->fd(), 1, 1).size(), 1);
    ASSERT_EQ(Begin(queue->fd(), 100), 100);
  }
  for (auto& queue : closed) queue.reset();
  ExpectAllFree();
}

// Those in flight have theirs as long as they are, and no longer.
TEST_F(ClosedQueues, KeepNoneOfWhatEndsAfterwards) {
  const Pipe pipe;
  const Pipe other;
  constexpr size_t kInFlight = 100;
  std::vector<aiocb> controls(kInFlight + 2);
  {
    const Queue closed;
    for (size_t i = 0; i < kInFlight; ++i) {
      Prepare(&controls[i], closed.fd(), pipe.from(), buffer_.data(), 1);
      ASSERT_EQ(aio_read(&controls[i]), 0);
    }
    // A list, of which one member is for another queue.
    aiocb* list[] = {&controls[kInFlight], &controls[kInFlight + 1]};
    Prepare(list[0], queue_.fd(), other.from(), buffer_.data(), 1);
    Prepare(list[1], closed.fd(), other.from(), buffer_.data(), 1);
    list[0]->aio_lio_opcode = list[1]->aio_lio_opcode = LIO_READ;
    sigevent notification;
    kevent_sigevent(&notification, closed.fd(), nullptr);
    ASSERT_EQ(lio_listio(LIO_NOWAIT, list, 2, &notification), 0);
  }
  constexpr size_t kLeft = kRecords - kInFlight - 3;
  EXPECT_EQ(Begin(queue_.fd(), kRecords), kLeft);
  EXPECT_EQ(Collect(queue_.fd(), kLeft, kRecords).size(), kLeft);
  pipe.Put(std::string(kInFlight, 'x'));
  other.Put("ab");
  EXPECT_EQ(Next().ptr, &controls[kInFlight]);
  by_others_ = true;
  for (aiocb& control : controls) {
    AwaitEnd(control);
    EXPECT_EQ(aio_return(&control), 1);
  }
  ExpectAllFree();
}

TEST_F(ClosedQueues, KeepNoneWhenTheyAreClosedByDup2) {
  const int closed = kevent_init(nullptr, 0, 0);
  ASSERT_EQ(Begin(closed, kRecords), kRecords);
  ASSERT_EQ(dup2(file_.fd(), closed), closed);
  ExpectAllFree();
  close(closed);
}

}  // namespace
}  // namespace kevent_test
