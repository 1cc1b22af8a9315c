// SPDX-License-Identifier: MIT
//
// Lists of so many reads that they are done together, of what is in the page
// cache and of what is not.

#include <sys/epoll.h>
#include <sys/syscall.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kReads = 100;
constexpr off_t kFileBytes = 4 << 20;

struct Read {
  std::array<char, kBlock> bytes;
  std::array<aiocb, 1> control;  // itself no member: it has an array of nothing
};

class ReadLists : public testing::Test {
 protected:
  ReadLists() {
    std::mt19937_64 random(1);
    std::string text(kFileBytes, '\0');
    for (char& each : text) each = static_cast<char>(random());
    file_.Write(text);
    EXPECT_EQ(fsync(file_.fd()), 0);
  }

  // Some of the file has to come from the disk.
  void Forget(off_t bytes) const {
    EXPECT_EQ(posix_fadvise(file_.fd(), 0, bytes, POSIX_FADV_DONTNEED), 0);
  }

  static void Start(int fd, int queue, std::vector<Read>& reads, std::mt19937& random) {
    std::vector<aiocb*> list;
    for (Read& read : reads) {
      // Also across the end of the file.
      Prepare(read.control.data(), queue, fd, read.bytes.data(), 1 + random() % kBlock,
              static_cast<off_t>(random() % kFileBytes));
      read.control[0].aio_lio_opcode = LIO_READ;
      list.push_back(read.control.data());
    }
    ASSERT_EQ(lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(list.size()), nullptr), 0);
  }

  static void Finish(int fd, int queue, const std::vector<Read>& reads) {
    size_t done = 0;
    while (done < reads.size()) done += Collect(queue, 1, kReads).size();
    EXPECT_EQ(done, reads.size());
    for (const Read& read : reads) {
      const aiocb& control = read.control[0];
      std::array<char, kBlock> expected;
      const ssize_t bytes = pread(fd, expected.data(), control.aio_nbytes, control.aio_offset);
      ASSERT_EQ(ErrorOf(control), 0);
      ASSERT_EQ(aio_return(const_cast<aiocb*>(&control)), bytes);
      ASSERT_EQ(std::memcmp(read.bytes.data(), expected.data(), static_cast<size_t>(bytes)), 0);
    }
  }

  void Use(unsigned seed = 1) {
    const Queue queue;
    std::mt19937 random(seed);
    std::vector<Read> reads(kReads);
    for (int round = 0; round < 20; ++round) {
      if (seed == 1 && round % 4 == 0) Forget(kFileBytes / 2);
      Start(file_.fd(), queue.fd(), reads, random);
      Finish(file_.fd(), queue.fd(), reads);
    }
  }

  const TemporaryFile file_;
};

TEST_F(ReadLists, AreWhatPreadReads) { Use(); }

TEST_F(ReadLists, OfSeveralThreadsAtOnce) {
  Thread one([this] { Use(1); });
  Thread two([this] { Use(2); });
  Thread three([this] { Use(3); });
}

// As it is when the kernel ends something in the thread that has asked for it.
TEST_F(ReadLists, InterruptNobodysEpollWait) {
  const Queue queue;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  ASSERT_GE(epoll, 0);
  std::mt19937 random(1);
  std::vector<Read> reads(kReads);
  for (int round = 0; round < 100; ++round) {
    Forget(kFileBytes);
    Start(file_.fd(), queue.fd(), reads, random);
    epoll_event event;
    EXPECT_EQ(epoll_wait(epoll, &event, 1, 1), 0) << std::strerror(errno);
    Finish(file_.fd(), queue.fd(), reads);
  }
  close(epoll);
}

// Each of the list takes the way of its file.
TEST_F(ReadLists, OfAFileAndAStream) {
  const Queue queue;
  const Pipe pipe;
  std::vector<Read> reads(kReads);
  std::vector<aiocb*> list;
  for (size_t i = 0; i < reads.size(); ++i) {
    const bool stream = i % 20 == 19;
    Prepare(reads[i].control.data(), queue.fd(), stream ? pipe.from() : file_.fd(),
            reads[i].bytes.data(), 1, 1);
    reads[i].control[0].aio_lio_opcode = LIO_READ;
    list.push_back(reads[i].control.data());
  }
  ASSERT_EQ(lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(list.size()), nullptr), 0);
  EXPECT_EQ(Collect(queue.fd(), 95, kReads).size(), 95);
  pipe.Put("abcde");
  EXPECT_EQ(Collect(queue.fd(), 5, kReads).size(), 5);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(reads[i * 20 + 19].bytes[0], "abcde"[i]);
}

// By a system call that the library does not see; a stranger has the number then,
// which is given nothing.
TEST_F(ReadLists, GoOnWhenTheirRingIsClosed) {
  ExpectChild([this] {
    const std::set<int> before = OpenDescriptors();
    Use();
    CHILD_CHECK(!HasFailure());
    const auto stranger = static_cast<int>(syscall(SYS_epoll_create1, 0));
    for (const int fd : OpenDescriptors()) {
      if (before.count(fd) == 0 && fd != stranger) {
        CHILD_CHECK(syscall(SYS_dup3, stranger, fd, 0) == fd);
      }
    }
    Use();
    CHILD_CHECK(!HasFailure());
  });
}

}  // namespace
}  // namespace kevent_test
