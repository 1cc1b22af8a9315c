// SPDX-License-Identifier: MIT
//
// A fork while operations are in flight: they stay the parent's, and the child
// has its own.

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// Reads what there is, what comes later, and writes: 0 when all is right.
int UseAio(int queue) {
  const Pipe pipe;
  const TemporaryFile file;
  aiocb later;
  aiocb write;
  char byte;
  Prepare(&later, queue, pipe.from(), &byte, 1);
  Prepare(&write, queue, file.fd(), const_cast<char*>("w"), 1);
  if (aio_read(&later) != 0 || aio_write(&write) != 0) return 1;
  const std::vector<ukevent> first = Collect(queue, 1, 2);
  if (first.size() != 1 || first[0].ptr != &write || aio_return(&write) != 1) return 2;
  pipe.Put("x");
  const std::vector<ukevent> second = Collect(queue, 1, 2);
  if (second.size() != 1 || second[0].ptr != &later || byte != 'x') return 3;
  // So many that they are read together.
  std::vector<aiocb> reads(40);
  std::vector<char> bytes(reads.size());
  std::vector<aiocb*> list;
  for (size_t i = 0; i < reads.size(); ++i) {
    Prepare(&reads[i], queue, file.fd(), &bytes[i], 1);
    reads[i].aio_lio_opcode = LIO_READ;
    list.push_back(&reads[i]);
  }
  if (lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(list.size()), nullptr) != 0) return 4;
  if (Collect(queue, static_cast<unsigned>(list.size()), 64).size() != list.size()) return 5;
  for (const char each : bytes) {
    if (each != 'w') return 6;
  }
  return 0;
}

// The C library knows nothing of it, and takes its thread for one of the parent's.
pid_t CloneItself() { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

const std::array<pid_t (*)(), 3> kForks = {fork, _Fork, CloneItself};

class AioForks : public testing::TestWithParam<bool> {};

TEST_P(AioForks, EachHasItsOwn) {
  const Queue queue;
  if (GetParam()) {
    ASSERT_EQ(UseAio(queue.fd()), 0);
  }
  const Pipe pipe;
  aiocb control;
  char byte = '?';
  Prepare(&control, queue.fd(), pipe.from(), &byte, 1);
  ASSERT_EQ(aio_read(&control), 0);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = kForks[round % kForks.size()]();
    if (child == 0) {
      // Its queue is empty, and what it does comes to it alone.
      if (!Collect(queue.fd(), 0, 1).empty()) _exit(9);
      for (int i = 0; i < 20; ++i) {
        if (const int wrong = UseAio(queue.fd()); wrong != 0) _exit(wrong);
      }
      _exit(0);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    ASSERT_TRUE(Collect(queue.fd(), 0, 1).empty());
  }
  pipe.Put("p");
  const std::vector<ukevent> events = Collect(queue.fd(), 1, 2);
  ASSERT_EQ(events.size(), 1);
  ExpectCompletion(events[0], control, 1);
  EXPECT_EQ(byte, 'p');
  EXPECT_EQ(UseAio(queue.fd()), 0);
}

INSTANTIATE_TEST_SUITE_P(ParentHasUsedIt, AioForks, testing::Bool());

}  // namespace
}  // namespace kevent_test
