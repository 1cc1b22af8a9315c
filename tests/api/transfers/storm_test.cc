// SPDX-License-Identifier: MIT
//
// Threads that begin, cancel and collect transfers at random, around sockets that are closed and
// replaced meanwhile: each transfer completes once, and what was not disturbed arrives in order.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr size_t kMost = 100'000;  // bytes of a transfer
constexpr int kInFlight = 400;
constexpr char kCanary = 0x5a;

char ByteAt(uint64_t place) { return static_cast<char>(place * 2654435761 >> 13); }

// One direction of a pair of sockets.
struct Stream {
  std::mutex mutex;
  int from = -1;
  int to = -1;
  uint64_t sent = 0;  // bytes whose transfers were begun
  uint64_t received = 0;
};

struct Request {
  Stream* stream;
  bool receives;
  bool is_quiet;
  uint64_t place;
  size_t size;
  std::vector<char> buffer;
  std::atomic<int> ends{0};
};

class Storm : public testing::Test {
 protected:
  Storm() {
    for (auto& pair : quiet_) Connect(pair);
    for (auto& pair : wild_) Connect(pair);
    std::string text(kMost, '\0');
    for (size_t i = 0; i < text.size(); ++i) text[i] = ByteAt(i);
    file_.Write(text);
  }
  ~Storm() override {
    for (auto* pairs : {&quiet_, &wild_}) {
      for (auto& pair : *pairs) {
        close(pair[0].from);
        close(pair[0].to);
      }
    }
  }

  using PairOfStreams = std::array<Stream, 2>;

  static void Connect(PairOfStreams& pair) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    pair[0].from = pair[1].to = ends[0];
    pair[0].to = pair[1].from = ends[1];
  }

  // Begins one transfer; requires the stream's mutex.
  void Begin(Stream& stream, bool receives, bool is_quiet, size_t size, unsigned flags,
             bool of_file = false) {
    auto* request = new Request;
    request->stream = &stream;
    request->receives = receives;
    request->is_quiet = is_quiet;
    request->size = size;
    request->place = receives ? stream.received : stream.sent;
    request->buffer.assign(size + 1, kCanary);
    if (!receives) {
      for (size_t i = 0; i < size; ++i) request->buffer[i] = ByteAt(request->place + i);
    }
    kevent_transfer transfer = {};
    transfer.operation = receives ? KEVENT_NAIO_RECV : KEVENT_NAIO_SEND;
    transfer.socket = receives ? stream.to : stream.from;
    transfer.flags = flags;
    transfer.buffer = request->buffer.data();
    transfer.size = size;
    if (of_file) {
      transfer.operation = KEVENT_NAIO_SENDFILE;
      transfer.file = file_.fd();
      transfer.offset = static_cast<off_t>(request->place % (kMost / 2));
    }
    transfer.cookie = request;
    in_flight_.fetch_add(1);
    if (kevent_transfers(queue_.fd(), 1, &transfer) != 1) {
      ADD_FAILURE() << std::strerror(transfer.error);
      in_flight_.fetch_sub(1);
      delete request;
      return;
    }
    (receives ? stream.received : stream.sent) += size;
  }

  // What is sent is received, soon or late.
  void BeginQuiet(std::mt19937& random) {
    Stream& stream = quiet_[random() % quiet_.size()][random() % 2];
    const std::lock_guard<std::mutex> guard(stream.mutex);
    const bool receives = (stream.sent > stream.received) == (random() % 4 != 0);
    Begin(stream, receives, true, random() % 3 == 0 ? random() % kMost : random() % 100, 0);
  }

  void BeginWild(std::mt19937& random) {
    PairOfStreams& pair = wild_[random() % wild_.size()];
    const std::scoped_lock guard(pair[0].mutex, pair[1].mutex);
    Stream& stream = pair[random() % 2];
    const bool receives = random() % 2 == 0;
    switch (in_flight_.load() < kInFlight ? random() % 16 : random() % 3) {
      case 0:
        kevent_cancel_transfers(queue_.fd(), stream.to, nullptr);
        break;
      case 1:
        close(pair[0].from);
        close(pair[0].to);
        Connect(pair);
        break;
      case 2: {
        PairOfStreams other;
        Connect(other);
        dup3(other[0].from, pair[0].from, O_CLOEXEC);
        dup3(other[0].to, pair[0].to, O_CLOEXEC);
        close(other[0].from);
        close(other[0].to);
        break;
      }
      case 3:
        shutdown(stream.from, SHUT_WR);
        break;
      case 4: {
        void* const never = &random;
        kevent_cancel_transfers(queue_.fd(), stream.from, &never);
        break;
      }
      default: {
        const bool some = receives && random() % 2 == 0;
        Begin(stream, receives, false, random() % kMost, some ? KEVENT_NAIO_SOME : 0u,
              !receives && random() % 4 == 0);
      }
    }
  }

  void Submit(unsigned seed) {
    std::mt19937 random(seed);
    while (!over_.load()) {
      if (in_flight_.load() < 2 * kInFlight && random() % 2 == 0) {
        BeginQuiet(random);
      } else {
        BeginWild(random);
      }
    }
  }

  void End(const ukevent& event) {
    ASSERT_EQ(event.type, static_cast<uint32_t>(KEVENT_NAIO));
    auto* request = static_cast<Request*>(event.ptr);
    ASSERT_EQ(request->ends.fetch_add(1), 0);
    EXPECT_EQ(request->buffer[request->size], kCanary);
    EXPECT_LE(event.ret_data[0], request->size);
    if (request->is_quiet) {
      EXPECT_EQ(event.ret_data[0], request->size);
      EXPECT_EQ(event.ret_data[1], 0u);
      size_t wrong = 0;
      for (size_t i = 0; i < request->size; ++i) {
        wrong += request->buffer[i] != ByteAt(request->place + i);
      }
      EXPECT_EQ(wrong, 0u);
      bytes_.fetch_add(request->size);
    }
    ended_.fetch_add(1);
    delete request;
    in_flight_.fetch_sub(1);
  }

  void Collect(unsigned seed) {
    std::mt19937 random(seed);
    std::array<ukevent, 64> events;
    while (!collected_.load()) {
      const timespec patience = {0, 50'000'000};
      const unsigned most = 1 + static_cast<unsigned>(random() % events.size());
      const unsigned least = random() % 3 == 0 ? 1 + static_cast<unsigned>(random() % most) : 1;
      const int count = kevent_get_events(queue_.fd(), least, most, &patience, events.data(), 0);
      ASSERT_GE(count, 0) << std::strerror(errno);
      for (int i = 0; i < count; ++i) End(events[static_cast<size_t>(i)]);
    }
  }

  // Brings each quiet stream to its end, and disturbs the others for the last time.
  void Finish() {
    for (auto& pair : quiet_) {
      for (Stream& stream : pair) {
        while (stream.sent != stream.received) {
          const bool receives = stream.sent > stream.received;
          const uint64_t missing =
              receives ? stream.sent - stream.received : stream.received - stream.sent;
          Begin(stream, receives, true, std::min<uint64_t>(missing, kMost), 0);
        }
      }
    }
    for (auto& pair : wild_) {
      kevent_cancel_transfers(queue_.fd(), pair[0].from, nullptr);
      kevent_cancel_transfers(queue_.fd(), pair[0].to, nullptr);
    }
  }

  const Watchdog watchdog_;
  Queue queue_;
  TemporaryFile file_;
  std::array<PairOfStreams, 4> quiet_;
  std::array<PairOfStreams, 4> wild_;
  std::atomic<int> in_flight_{0};
  std::atomic<uint64_t> ended_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> over_{false};
  std::atomic<bool> collected_{false};
};

TEST_F(Storm, EachCompletesOnce) {
  const uint64_t enough = std::getenv("KEVENT_LONG") != nullptr ? 3'000'000 : 20'000;
  std::vector<std::thread> submitters;
  std::vector<std::thread> collectors;
  for (unsigned i = 0; i < 2; ++i) {
    submitters.emplace_back([this, i] { Submit(i); });
    collectors.emplace_back([this, i] { Collect(100 + i); });
  }
  while (ended_.load() < enough && !HasFailure()) usleep(1'000);
  over_.store(true);
  for (std::thread& thread : submitters) thread.join();
  Finish();
  while (in_flight_.load() != 0 && !HasFailure()) usleep(1'000);
  collected_.store(true);
  for (std::thread& thread : collectors) thread.join();
  EXPECT_GT(bytes_.load(), 0u);
  ukevent event;
  EXPECT_EQ(kevent_get_events(queue_.fd(), 0, 1, nullptr, &event, 0), 0);
}

}  // namespace
}  // namespace kevent_test
