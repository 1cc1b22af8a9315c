// SPDX-License-Identifier: MIT
//
// mq_notify while another process registers, and while the registration is ended:
// the kernel decides who wins, and the winner has one event.

#include <mqueue.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <new>

#include "tests/support/message_queue.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

int Ask(const Queue& queue, mqd_t id) {
  sigevent request;
  kevent_sigevent(&request, queue.fd(), nullptr);
  return mq_notify(id, &request) == 0 ? 0 : errno;
}

int Events(const Queue& queue, unsigned min) {
  std::array<ukevent, 4> events;
  return kevent_get_events(queue.fd(), min, 4, nullptr, events.data(), 0);
}

// What two processes see of each other, and where they wait for each other.
struct Shared {
  pthread_barrier_t barrier;
  struct {
    int error;
    int events;
  } side[2];
  void Meet() { pthread_barrier_wait(&barrier); }
};

constexpr int kRounds = 500;

// The events of the winner come within the call that waits for them.
void TakeSide(Shared* shared, int own, const MessageQueue& mq, const Queue& queue) {
  for (int round = 0; round < kRounds; ++round) {
    shared->Meet();
    shared->side[own].error = Ask(queue, mq.id());
    shared->Meet();
    if (own == 0) mq.Send();
    shared->side[own].events = Events(queue, shared->side[own].error == 0 ? 1 : 0);
    shared->Meet();
    // A second one would have come with the message.
    shared->side[own].events += Events(queue, 0);
    shared->Meet();
    if (own == 1) continue;
    const bool first_won = shared->side[0].error == 0;
    ASSERT_EQ(shared->side[first_won ? 0 : 1].error, 0) << "round " << round;
    ASSERT_EQ(shared->side[first_won ? 1 : 0].error, EBUSY);
    ASSERT_EQ(shared->side[first_won ? 0 : 1].events, 1);
    ASSERT_EQ(shared->side[first_won ? 1 : 0].events, 0);
    ASSERT_TRUE(mq.Receive());
  }
}

TEST(MessageRaces, TwoProcessesRegister) {
  void* pages =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  auto* shared = new (pages) Shared;
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ASSERT_EQ(pthread_barrier_init(&shared->barrier, &attributes, 2), 0);
  const MessageQueue mq("processes");
  const pid_t child = fork();
  if (child == 0) {
    const Queue queue;
    TakeSide(shared, 1, mq, queue);
    _exit(0);
  }
  const Queue queue;
  TakeSide(shared, 0, mq, queue);
  if (testing::Test::HasFatalFailure()) kill(child, SIGKILL);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  munmap(pages, sizeof(Shared));
}

// While one thread sends, another does something to the message queue that it has
// open in another way.  Returns how many rounds had an event.
template <typename Race>
int RaceWithAMessage(const MessageQueue& mq, const Queue& queue, Race race) {
  int told = 0;
  for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
    EXPECT_EQ(Ask(queue, mq.id()), 0) << "the registration of round " << round - 1 << " stands";
    std::atomic<bool> begin = false;
    {
      const Thread racer([&] {
        while (!begin) {
        }
        race();
      });
      begin = true;
      for (int i = 0; i < round * 7 % 1'000; ++i)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      mq.Send();
    }
    const int events = Events(queue, 0);
    EXPECT_LE(events, 1);
    told += events;
    EXPECT_TRUE(mq.Receive());
    // Used up or ended, and nothing comes of what has ended.
    mq.Send();
    EXPECT_EQ(Events(queue, 0), 0);
    EXPECT_TRUE(mq.Receive());
    // And where nobody races, there is one.
    EXPECT_EQ(Ask(queue, mq.id()), 0);
    mq.Send();
    EXPECT_EQ(Events(queue, 1), 1);
    EXPECT_TRUE(mq.Receive());
  }
  return told;
}

TEST(MessageRaces, ACloseEndsIt) {
  const Queue queue;
  const MessageQueue mq("close");
  std::atomic<mqd_t> other = mq_open(mq.name(), O_RDWR);
  RaceWithAMessage(mq, queue, [&] {
    mq_close(other);
    other = mq_open(mq.name(), O_RDWR);
  });
  mq_close(other);
}

TEST(MessageRaces, NullEndsIt) {
  const Queue queue;
  const MessageQueue mq("null_race");
  RaceWithAMessage(mq, queue, [&] { EXPECT_EQ(mq_notify(mq.id(), nullptr), 0); });
}

TEST(MessageRaces, UnlinkDoesNotEndIt) {
  const Queue queue;
  const MessageQueue mq("unlink");
  EXPECT_EQ(RaceWithAMessage(mq, queue, [&] { mq_unlink(mq.name()); }), kRounds);
}

}  // namespace
}  // namespace kevent_test
