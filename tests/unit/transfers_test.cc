// SPDX-License-Identifier: MIT
//
// Transfers on sockets, on the simulated system: a random life agrees with the model.

#include <sys/epoll.h>

#include "tests/unit/transfer_life.h"

namespace kevent_test {
namespace {

using kevent::core::Operations;
using kevent::sys::Transfer;

// ---- Turns ----------------------------------------------------------------------

class TransfersTest : public EngineTest {
 protected:
  int Begin(unsigned operation, int socket, std::string* buffer, uintptr_t cookie,
            unsigned flags = 0) const {
    kevent_transfer request = {};
    request.operation = operation;
    request.socket = socket;
    request.flags = flags;
    request.buffer = buffer->data();
    request.size = buffer->size();
    request.cookie = reinterpret_cast<void*>(cookie);
    return kevent::core::BeginTransfer(queue_, request);
  }
};

// A socket that always has something moves so much at a time, and others have their turn.
TEST_F(TransfersTest, TurnsGoRound) {
  const int busy = OpenSimulatedSocket(SOCK_STREAM, 0);
  const int other = OpenSimulatedSocket(SOCK_STREAM, 0);
  std::string much(5 * Transfer::kMostAtOnce, '\0');
  std::string little(1, '\0');
  ASSERT_EQ(Begin(KEVENT_NAIO_RECV, busy, &much, 1), 0);
  ASSERT_EQ(Begin(KEVENT_NAIO_RECV, other, &little, 2), 0);
  SocketOf(busy).came.emplace_back(much.size(), 'x');
  SocketChanged(busy);
  SocketOf(other).came.emplace_back("y");
  SocketChanged(other);
  const timespec patience = {1, 0};
  std::vector<ukevent> events = Collect(queue_, 1, 8, &patience);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(2));
  events = Collect(queue_, 1, 8, &patience);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].ret_data[0], much.size());
  for (const int socket : {busy, other}) {
    kevent::core::WatchedFds::Unwatch(socket);
    kevent::sys::Close(socket);
  }
}

// Many transfers of one socket have a turn together; whoever sleeps for the queue's edges hears of
// those that are left.
TEST_F(TransfersTest, TurnsHaveALengthForManyTogether) {
  constexpr size_t kEach = Transfer::kMostAtOnce / 4;
  constexpr unsigned kCount = 10;
  const int socket = OpenSimulatedSocket(SOCK_STREAM, 0);
  std::string room(kEach, '\0');
  for (unsigned i = 0; i < kCount; ++i) {
    ASSERT_EQ(Begin(KEVENT_NAIO_RECV, socket, &room, i), 0);
  }
  const int sleeper = kevent::sys::CreateEpoll();
  ASSERT_EQ(kevent::sys::EpollAdd(sleeper, queue_, EPOLLIN | EPOLLET, 0), 0);
  SocketOf(socket).came.emplace_back(kCount * kEach, 'x');
  SocketChanged(socket);
  epoll_event edge;
  std::vector<size_t> turns;
  for (unsigned left = kCount; left != 0 && turns.size() < kCount;) {
    ASSERT_EQ(kevent::sys::EpollTake(sleeper, &edge, 1), 1) << "nobody hears of the rest";
    const size_t count = Collect(queue_).size();
    turns.push_back(count);
    left -= static_cast<unsigned>(count);
  }
  EXPECT_GE(turns.size(), 3U);
  for (const size_t count : turns) EXPECT_LE(count, 4U);
  kevent::sys::Close(sleeper);
  kevent::core::WatchedFds::Unwatch(socket);
  kevent::sys::Close(socket);
}

// A file that has no pages, as with direct_io of FUSE, is sent all the same.
TEST_F(TransfersTest, AFileThatIsNeverCachedIsSent) {
  Sim().when_waiting = [] { return -ETIMEDOUT; };
  const int socket = OpenSimulatedSocket(SOCK_STREAM, O_NONBLOCK);
  const int file = OpenSimulatedFile("some bytes");
  ContentOf(file).has_no_pages = true;
  SocketOf(socket).room = 100;
  kevent_transfer request = {};
  request.operation = KEVENT_NAIO_SENDFILE;
  request.socket = socket;
  request.file = file;
  request.size = 10;
  ASSERT_EQ(kevent::core::BeginTransfer(queue_, request), 0);
  Sim().RunThread();
  const std::vector<ukevent> events = Collect(queue_);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].ret_data[0], 10U);
  EXPECT_EQ(SocketOf(socket).sent, "some bytes");
  for (const int fd : {socket, file}) {
    kevent::core::WatchedFds::Unwatch(fd);
    kevent::sys::Close(fd);
  }
  Sim().when_waiting = nullptr;
}

// ---- A random life ----------------------------------------------------------------

// Those of closed queues come back when they are cleared.
void CheckEveryRecordIsFree() {
  kevent::core::Queues::ClearClosed();
  std::vector<uint32_t> numbers(Operations::kMax);
  for (uint32_t& number : numbers) ASSERT_EQ(Operations::Allocate(&number), 0);
  for (const uint32_t number : numbers) Operations::Free(number);
}

TEST(Transfers, ARandomLifeIsThatOfTheModel) {
  const uint64_t first = FromEnvironment("KEVENT_TEST_SEED", 1);
  const uint64_t runs = FromEnvironment("KEVENT_TEST_RUNS", 200);
  TransferLife::BeginProcess();
  for (uint64_t seed = first; seed < first + runs && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "KEVENT_TEST_SEED=" << seed);
    RandomChoices choices(seed);
    {
      TransferLife life(choices);
      for (int i = 0; i < 300 && !HasFailure(); ++i) life.Step();
      life.End();
    }
    CheckEveryRecordIsFree();
  }
  Sim().when_waiting = nullptr;
}

}  // namespace
}  // namespace kevent_test
