// SPDX-License-Identifier: MIT
//
// Threads that begin operations, cancel them, wait for them and close what they
// are on, while others collect: each operation completes once.

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

struct Request {
  std::atomic<bool> in_flight = false;
  std::array<char, 512> bytes = {};
  std::array<aiocb, 1> control = {};
};

int Rounds() {
  const char* runs = std::getenv("KEVENT_TEST_RUNS");
  return runs == nullptr ? 3'000 : std::atoi(runs);
}

class Storm : public testing::Test {
 protected:
  // One thread's operations: of its own pipe, which it closes now and then, and
  // of a file.
  void Work(unsigned seed) {
    constexpr size_t kRequests = 16;
    std::mt19937 random(seed);
    std::vector<std::unique_ptr<Request>> requests;
    for (size_t i = 0; i < kRequests; ++i) requests.push_back(std::make_unique<Request>());
    auto pipe = std::make_unique<Pipe>();
    for (int round = 0; round < Rounds(); ++round) {
      Request& request = *requests[random() % kRequests];
      switch (random() % 8) {
        case 0:
          aio_cancel(pipe->from(), random() % 2 == 0 ? nullptr : request.control.data());
          break;
        case 1:
          pipe->Put("x");
          break;
        case 2:
          if (random() % 16 == 0) {
            // What has begun ends with what is written, or at the end of the file.
            close(std::exchange(pipe->ends[1], -1));
            pipe = std::make_unique<Pipe>();
          }
          break;
        case 3: {
          const aiocb* list[] = {request.control.data()};
          const timespec soon = {0, 10'000};
          if (request.in_flight) aio_suspend(list, 1, &soon);
          break;
        }
        default:
          if (!request.in_flight) Begin(&request, *pipe, random);
      }
    }
    close(std::exchange(pipe->ends[1], -1));
    for (const auto& request : requests) request->in_flight.wait(true);
  }

  void Begin(Request* request, const Pipe& pipe, std::mt19937& random) {
    const bool from_pipe = random() % 2 == 0;
    Prepare(request->control.data(), queue_.fd(), from_pipe ? pipe.from() : file_.fd(),
            request->bytes.data(), from_pipe ? 1 : request->bytes.size(),
            static_cast<off_t>(random() % 100'000));
    request->control[0].aio_sigevent.sigev_value.sival_ptr = request;
    request->in_flight = true;
    ++begun_;
    int result;
    if (!from_pipe && random() % 8 == 0) {
      result = aio_fsync(O_DSYNC, request->control.data());
    } else if (!from_pipe && random() % 2 == 0) {
      result = aio_write(request->control.data());
    } else {
      result = aio_read(request->control.data());
    }
    ASSERT_EQ(result, 0) << std::strerror(errno);
  }

  void CollectAll() {
    while (!over_) {
      for (const ukevent& event : Collect(queue_.fd(), 1, 8)) {
        auto* request = static_cast<Request*>(event.ptr);
        EXPECT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(request->control.data()));
        EXPECT_EQ(ErrorOf(*request->control.data()), static_cast<int>(event.ret_data[1]));
        EXPECT_TRUE(request->in_flight) << "completed twice";
        ++completed_;
        request->in_flight = false;
        request->in_flight.notify_all();
      }
    }
    ++ended_;
  }

  const Queue queue_;
  const TemporaryFile file_;
  std::atomic<uint64_t> begun_ = 0;
  std::atomic<uint64_t> completed_ = 0;
  std::atomic<bool> over_ = false;
  std::atomic<unsigned> ended_ = 0;
};

TEST_F(Storm, EachOperationCompletesOnce) {
  constexpr unsigned kWorkers = 4;
  constexpr unsigned kCollectors = 2;
  std::vector<std::unique_ptr<Thread>> workers;
  std::vector<std::unique_ptr<Thread>> collectors;
  for (unsigned i = 0; i < kCollectors; ++i) {
    collectors.push_back(std::make_unique<Thread>([this] { CollectAll(); }));
  }
  for (unsigned i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Thread>([this, i] { Work(i + 1); }));
  }
  for (const auto& worker : workers) worker->Join();
  over_ = true;
  // Of several wake-ups that nobody has met yet there is one.
  while (ended_ != kCollectors) {
    EXPECT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_READY, 0, nullptr), 0);
    sched_yield();
  }
  collectors.clear();
  EXPECT_GT(begun_, 0);
  EXPECT_EQ(begun_, completed_);
}

}  // namespace
}  // namespace kevent_test
