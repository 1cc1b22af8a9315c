// SPDX-License-Identifier: MIT
//
// A queue inside another loop (kevent/loops/drain.h).

#include <fcntl.h>
#include <kevent/loops/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

ukevent User(uint64_t id) { return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, 0); }

struct Loop {
  const Queue queue;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  kevent_drain drain = {};
  std::vector<unsigned> batches;
  unsigned closes_after = ~0U;

  Loop() { EXPECT_EQ(kevent_epoll_start(&drain, epoll, queue.fd(), &Loop::Batch, this), 0); }
  ~Loop() {
    kevent_drain_close(&drain);
    close(epoll);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  static void Batch(ukevent*, unsigned num, void* argument) {
    auto* loop = static_cast<Loop*>(argument);
    loop->batches.push_back(num);
    if (loop->batches.size() == loop->closes_after) kevent_drain_close(&loop->drain);
  }
  bool IsReadable() const {
    epoll_event ready;
    return epoll_wait(epoll, &ready, 1, 0) == 1 && ready.data.ptr == &drain;
  }
  void Fill(unsigned count) const {
    for (unsigned i = 0; i < count; ++i) {
      ASSERT_EQ(Add(queue.fd(), User(i)), 0);
      ASSERT_TRUE(Inject(queue.fd(), User(i)));
    }
  }
};

TEST(Drain, HandsOverWhatThereIs) {
  Loop loop;
  EXPECT_FALSE(loop.IsReadable());
  EXPECT_EQ(kevent_drain_run(&loop.drain), 0);
  EXPECT_TRUE(loop.batches.empty());
  loop.Fill(70);
  EXPECT_TRUE(loop.IsReadable());
  EXPECT_EQ(kevent_drain_run(&loop.drain), 70);
  EXPECT_EQ(loop.batches, (std::vector<unsigned>{64, 6}));
  EXPECT_FALSE(loop.IsReadable());
}

// A queue that is never empty does not keep the loop from its other descriptors.
TEST(Drain, LeavesTheRestForTheNextTurn) {
  Loop loop;
  loop.Fill(3000);
  EXPECT_EQ(kevent_drain_run(&loop.drain), 1024);
  EXPECT_TRUE(loop.IsReadable());
  EXPECT_EQ(kevent_drain_run(&loop.drain), 1024);
  EXPECT_EQ(kevent_drain_run(&loop.drain), 952);
  EXPECT_FALSE(loop.IsReadable());
}

TEST(Drain, MayBeClosedByItsFunction) {
  Loop loop;
  loop.closes_after = 2;
  loop.Fill(300);
  EXPECT_EQ(kevent_drain_run(&loop.drain), 128);
  EXPECT_EQ(loop.drain.epoll_fd, -1);
  EXPECT_FALSE(loop.IsReadable());
  EXPECT_EQ(kevent_drain_run(&loop.drain), 0);
  // The queue is the program's, with what is in it.
  EXPECT_EQ(Take(loop.queue.fd(), 0, 300).size(), 300 - 128);
}

// The kernel's member is the child's as well, so closing the drain alone leaves it in the epoll.
TEST(Drain, IsClosedForItsLoopThoughAChildOfForkHasACopy) {
  Loop loop;
  loop.Fill(1);
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    close(gate[1]);
    _exit(static_cast<int>(read(gate[0], &byte, 1)));
  }
  EXPECT_TRUE(loop.IsReadable());
  kevent_epoll_close(&loop.drain, loop.epoll);
  kevent_epoll_close(&loop.drain, loop.epoll);
  epoll_event ready;
  EXPECT_EQ(epoll_wait(loop.epoll, &ready, 1, 0), 0);
  close(gate[1]);
  close(gate[0]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// What the loop sets on the descriptor that it watches is not the queue's.
TEST(Drain, KeepsTheQueuesStatusFlags) {
  const Loop loop;
  ASSERT_EQ(fcntl(kevent_drain_fd(&loop.drain), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(fcntl(loop.queue.fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Drain, SaysWhatIsWrong) {
  kevent_drain drain;
  EXPECT_EQ(kevent_drain_open(&drain, -1, &Loop::Batch, nullptr), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(drain.epoll_fd, -1);
  // What is no queue would be readable for ever, and hand nothing over.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(kevent_drain_open(&drain, ends[0], &Loop::Batch, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(drain.epoll_fd, -1);
  for (const int end : ends) close(end);
  Queue queue;
  ASSERT_EQ(kevent_drain_open(&drain, queue.fd(), &Loop::Batch, nullptr), 0);
  queue.Close();
  EXPECT_EQ(kevent_drain_run(&drain), -1);
  EXPECT_EQ(errno, EBADF);
  kevent_drain_close(&drain);
}

}  // namespace
}  // namespace kevent_test
