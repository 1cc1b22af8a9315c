// SPDX-License-Identifier: MIT
//
// The threads that block: one for each operation that they are busy with, made when it
// begins; what none can be made for is refused.

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/aio_fixture.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// Its reads are for a thread that blocks.
struct Blocking {
  Blocking() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const timeval hour = {3600, 0};
    EXPECT_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour), 0);
  }
  ~Blocking() {
    if (ends[0] != -1) close(ends[0]);
    close(ends[1]);
  }
  void CloseFirst() { close(std::exchange(ends[0], -1)); }
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;
  void Put() const { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  std::array<int, 2> ends;
};

int Threads(const std::string& of_name) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    count += name == of_name;
  }
  return count;
}

int ThreadsOfPool() { return Threads("kevent-aio"); }

// How often the pool's thread that has slept most often has gone to sleep.
int MostSleepsOfPool() {
  int most = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(entry.path() / "status");
    std::string field;
    std::string value;
    bool of_pool = false;
    while (status >> field && std::getline(status >> std::ws, value)) {
      if (field == "Name:") of_pool = value == "kevent-aio";
      if (of_pool && field == "voluntary_ctxt_switches:") most = std::max(most, std::stoi(value));
    }
  }
  return most;
}

class Pool : public Aio {};

TEST_F(Pool, HasAsManyThreadsAsAreBusy) {
  ExpectChild([] {
    const Queue queue;
    std::array<Blocking, 3> sockets;
    std::array<aiocb, 3> reads;
    std::array<char, 3> bytes;
    for (size_t i = 0; i < sockets.size(); ++i) {
      Prepare(&reads[i], queue.fd(), sockets[i].ends[0], &bytes[i], 1);
      CHILD_CHECK(aio_read(&reads[i]) == 0);
      CHILD_CHECK(ThreadsOfPool() == static_cast<int>(i) + 1);
    }
    // In line behind the first: nobody is busy with it.
    aiocb another;
    char byte;
    Prepare(&another, queue.fd(), sockets[0].ends[0], &byte, 1);
    CHILD_CHECK(aio_read(&another) == 0);
    CHILD_CHECK(ThreadsOfPool() == 3);
    for (const Blocking& socket : sockets) socket.Put();
    sockets[0].Put();
    CHILD_CHECK(Collect(queue.fd(), 4, 4).size() == 4);
  });
}

// A thread is there before an operation waits for one of the ring's: when that one has ended,
// perhaps none can be made.  What needs no other thread has none.
TEST_F(Pool, HasAThreadForWhatWaitsForOthers) {
  ExpectChild([] {
    const Queue queue;
    const Pipe pipe;
    const Blocking busy;
    std::array<aiocb, 3> reads;
    std::array<char, 3> bytes;
    Prepare(&reads[0], queue.fd(), pipe.from(), &bytes[0], 1);
    CHILD_CHECK(aio_read(&reads[0]) == 0);
    CHILD_CHECK(ThreadsOfPool() + Threads("kevent-ring") == 1);
    CHILD_CHECK(Threads("kevent-tell") == 0);
    // A read of nothing is for a thread that blocks.
    Prepare(&reads[1], queue.fd(), pipe.from(), &bytes[1], 0);
    CHILD_CHECK(aio_read(&reads[1]) == 0);
    CHILD_CHECK(ThreadsOfPool() == 1);
    Prepare(&reads[2], queue.fd(), busy.ends[0], &bytes[2], 1);
    CHILD_CHECK(aio_read(&reads[2]) == 0);
    CHILD_CHECK(ThreadsOfPool() == 2);
    // They stay although they have nothing to do, as long as that may come: the one that the first
    // read keeps waiting has slept to the end, has looked whether it is to go, and sleeps again.
    // Without an io_uring both are busy, and none looks.
    const int wanted = MostSleepsOfPool() + (Threads("kevent-ring") == 1 ? 2 : 0);
    while (ThreadsOfPool() == 2 && MostSleepsOfPool() < wanted) usleep(10'000);
    CHILD_CHECK(ThreadsOfPool() == 2);
    pipe.Put("x");
    CHILD_CHECK(Collect(queue.fd(), 2, 2).size() == 2);
    busy.Put();
    CHILD_CHECK(Collect(queue.fd(), 1, 1).size() == 1);
  });
}

// One that nobody is there for, and for whom no thread can be made, might wait for ever.
TEST_F(Pool, TakesNothingThatNobodyIsThereFor) {
  ExpectChild([] {
    const Queue queue;
    const Blocking busy;
    const Blocking ready;
    ready.Put();
    std::array<aiocb, 2> reads;
    std::array<char, 2> bytes;
    Prepare(&reads[0], queue.fd(), busy.ends[0], &bytes[0], 1);
    CHILD_CHECK(aio_read(&reads[0]) == 0);
    // A second thread that stood by would do the next read.
    while (ThreadsOfPool() > 1) usleep(1000);

    // Whose threads are counted: not root's.
    const bool is_root = geteuid() == 0;
    if (is_root) CHILD_CHECK(syscall(SYS_setresuid, 65534, 65534, 0) == 0);
    rlimit before;
    CHILD_CHECK(getrlimit(RLIMIT_NPROC, &before) == 0);
    const rlimit one = {1, before.rlim_max};
    CHILD_CHECK(setrlimit(RLIMIT_NPROC, &one) == 0);
    Prepare(&reads[1], queue.fd(), ready.ends[0], &bytes[1], 1);
    const int begun = aio_read(&reads[1]);
    const int error = errno;
    CHILD_CHECK(setrlimit(RLIMIT_NPROC, &before) == 0);
    if (is_root) CHILD_CHECK(syscall(SYS_setresuid, 0, 0, 0) == 0);
    CHILD_CHECK(begun == -1 && error == EAGAIN && ErrorOf(reads[1]) == EAGAIN);

    // Nothing of it is left, and another time it is done.
    Prepare(&reads[1], queue.fd(), ready.ends[0], &bytes[1], 1);
    CHILD_CHECK(aio_read(&reads[1]) == 0);
    const std::vector<ukevent> events = Collect(queue.fd(), 1, 1);
    CHILD_CHECK(events.size() == 1 && events[0].ptr == &reads[1]);
    busy.Put();
    CHILD_CHECK(Collect(queue.fd(), 1, 1).size() == 1);
  });
}

// Those that wait for others have somebody when these have ended.
TEST_F(Pool, DoesWhatItsOwnHaveWaitedFor) {
  const Blocking socket;
  std::array<aiocb, 64> reads;
  for (size_t i = 0; i < reads.size(); ++i) Read(&reads[i], socket.ends[0], &buffer_[i], 1);
  for (const aiocb& read : reads) {
    socket.Put();
    EXPECT_EQ(Next().ptr, &read);
  }
}

// The kernel writes to the page cache of a file by one call at a time.
TEST_F(Pool, HasOneThreadForTheBufferedWritesOfADescriptor) {
  ExpectChild([] {
    const Queue queue;
    const TemporaryFile file;
    static std::array<aiocb, 64> writes;
    static std::array<char, 4096> bytes;
    for (int round = 0; round < 20; ++round) {
      std::array<aiocb*, writes.size()> list;
      for (size_t i = 0; i < writes.size(); ++i) {
        Prepare(&writes[i], queue.fd(), file.fd(), bytes.data(), bytes.size(),
                static_cast<off_t>(i * bytes.size()));
        writes[i].aio_lio_opcode = LIO_WRITE;
        list[i] = &writes[i];
      }
      CHILD_CHECK(lio_listio(LIO_NOWAIT, list.data(), list.size(), nullptr) == 0);
      CHILD_CHECK(ThreadsOfPool() == 1);
      CHILD_CHECK(Threads("kevent-ring") == 0);
      CHILD_CHECK(Collect(queue.fd(), 64, 64).size() == 64);
      for (const aiocb& write : writes) CHILD_CHECK(ErrorOf(write) == 0);
    }
  });
}

// Those that wait for their turn are taken back, from anywhere among them, and the others go on.
TEST_F(Pool, LetsOthersHaveTheTurnOfWritesThatAreCancelled) {
  const TemporaryFile file;
  std::vector<char> much(size_t{4} << 20, 'x');
  std::array<aiocb, 30> writes;
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 0; i < writes.size(); ++i) {
      const size_t bytes = i == 0 ? much.size() : 1;
      Prepare(&writes[i], queue_.fd(), file.fd(), much.data(), bytes,
              static_cast<off_t>(i * much.size()));
      ASSERT_EQ(aio_write(&writes[i]), 0);
    }
    size_t cancelled = 0;
    for (size_t i = round % 3; i < writes.size(); i += 3) {
      cancelled += aio_cancel(file.fd(), &writes[i]) == AIO_CANCELED;
    }
    size_t done = 0;
    for (const ukevent& event : Collect(queue_.fd(), 30, 30)) {
      if (event.ret_data[1] == 0) {
        ++done;
      } else {
        EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(ECANCELED));
      }
    }
    EXPECT_EQ(done, writes.size() - cancelled);
  }
  // The same for all of them at once, of which one may have begun.
  for (aiocb& write : writes) {
    Prepare(&write, queue_.fd(), file.fd(), much.data(), 1);
    ASSERT_EQ(aio_write(&write), 0);
  }
  EXPECT_NE(aio_cancel(file.fd(), nullptr), -1);
  EXPECT_EQ(Collect(queue_.fd(), 30, 30).size(), writes.size());
  Prepare(&writes[0], queue_.fd(), file.fd(), much.data(), 1);
  ASSERT_EQ(aio_write(&writes[0]), 0);
  ExpectCompletion(Next(), writes[0], 1);
}

// A write by the number would go to the file that has it next.
class OfClosedNumbers : public Pool, public testing::WithParamInterface<int> {};

TEST_P(OfClosedNumbers, HasNoBufferedWrite) {
  const std::vector<char> much(size_t{1} << 20, 'x');
  std::array<aiocb, 3> writes;
  for (int round = 0; round < 150; ++round) {
    auto file = std::make_unique<TemporaryFile>();
    const int number = file->fd();
    ASSERT_EQ(fcntl(number, F_SETFL, GetParam()), 0);
    for (size_t i = 0; i < writes.size(); ++i) {
      Prepare(&writes[i], queue_.fd(), number, const_cast<char*>(much.data()), much.size(),
              static_cast<off_t>(i * much.size()));
      ASSERT_EQ(aio_write(&writes[i]), 0);
    }
    // Some have begun, some have ended, and for some nobody has looked yet.
    for (int spins = round * 20; spins > 0; --spins) sched_yield();
    file.reset();
    for (const aiocb& write : writes) EXPECT_NE(ErrorOf(write), EINPROGRESS);
    const TemporaryFile stranger;
    EXPECT_EQ(stranger.fd(), number);
    EXPECT_EQ(Collect(queue_.fd(), 3, 3).size(), writes.size());
    struct stat status;
    EXPECT_EQ(fstat(stranger.fd(), &status), 0);
    EXPECT_EQ(status.st_size, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(WithFlags, OfClosedNumbers, testing::Values(0, O_APPEND));

// The thread that has done one operation goes on with the next when the program knows of the first,
// and may have closed the number by then.  A thread that has just begun may still use a number that
// is closed (BUGS of sigev_kevent(7)): that does not come about in one round of a hundred.
TEST_F(Pool, HasBegunNothingByANumberThatIsClosedWhenOneHasEnded) {
  constexpr int kRounds = 2000;
  std::array<aiocb, 2> reads;
  int stolen = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto socket = std::make_unique<Blocking>();
    const int number = socket->ends[0];
    for (size_t i = 0; i < reads.size(); ++i) Read(&reads[i], number, &buffer_[i], 1);
    socket->Put();
    ASSERT_EQ(Next().ptr, &reads[0]);
    socket->CloseFirst();
    const Blocking stranger;
    ASSERT_EQ(stranger.ends[0], number);
    stranger.Put();
    socket.reset();  // ends a read of that socket
    ASSERT_EQ(Next().ptr, &reads[1]);
    int left = 0;
    ASSERT_EQ(ioctl(number, FIONREAD, &left), 0);
    stolen += 1 - left;
  }
  EXPECT_LE(stolen, kRounds / 100);
}

}  // namespace
}  // namespace kevent_test
