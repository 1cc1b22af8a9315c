// SPDX-License-Identifier: MIT
//
// aio_read, aio_write and aio_fsync that complete into a queue.

#include "tests/support/aio.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/aio_fixture.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

TEST_F(Aio, ReadsWhatIsThere) {
  const TemporaryFile file;
  file.Write("0123456789");
  Read(&control_, file.fd(), buffer_.data(), 4, 3);
  ExpectCompletion(Next(), control_, 4);
  EXPECT_STREQ(buffer_.data(), "3456");
  Read(&control_, file.fd(), buffer_.data(), buffer_.size(), 8);  // beyond the end
  ExpectCompletion(Next(), control_, 2);
  Read(&control_, file.fd(), buffer_.data(), buffer_.size(), 10);
  ExpectCompletion(Next(), control_, 0);
  ExpectNothing();
}

TEST_F(Aio, ReadsWhatIsNotInThePageCache) {
  const TemporaryFile file;
  const std::string text(3 * 65536 + 5, 'x');
  file.Write(text);
  ASSERT_EQ(fsync(file.fd()), 0);
  // Only the first page is; on a file system without a page cache of its own
  // (tmpfs) the advice does nothing.
  posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  char first;
  ASSERT_EQ(pread(file.fd(), &first, 1, 0), 1);
  posix_fadvise(file.fd(), 4096, 0, POSIX_FADV_DONTNEED);
  std::string read(text.size() + 100, '\0');
  Read(&control_, file.fd(), read.data(), read.size());
  ExpectCompletion(Next(), control_, static_cast<int64_t>(text.size()));
  read.resize(text.size());
  EXPECT_EQ(read, text);
}

TEST_F(Aio, ReadsPastThePageCache) {
  const TemporaryFile file(O_DIRECT);
  if (file.is_refused()) GTEST_SKIP() << "no O_DIRECT in " << testing::TempDir();
  constexpr size_t kBlock = 4096;
  const std::unique_ptr<char, void (*)(void*)> block(
      static_cast<char*>(std::aligned_alloc(kBlock, kBlock)), &std::free);
  std::memset(block.get(), 'd', kBlock);
  Write(&control_, file.fd(), block.get(), kBlock);
  ExpectCompletion(Next(), control_, kBlock);
  std::memset(block.get(), 0, kBlock);
  Read(&control_, file.fd(), block.get(), kBlock);
  ExpectCompletion(Next(), control_, kBlock);
  EXPECT_EQ(block.get()[kBlock - 1], 'd');
}

TEST_F(Aio, WritesAndSyncs) {
  const TemporaryFile file;
  aiocb sync;
  Write(&control_, file.fd(), "hello", 5, 2);
  Prepare(&sync, queue_.fd(), file.fd(), nullptr, 0);
  ASSERT_EQ(aio_fsync(O_SYNC, &sync), 0);
  ExpectCompletion(Next(), control_, 5);
  ExpectCompletion(Next(), sync, 0);
  EXPECT_EQ(file.Read(), std::string("\0\0hello", 7));
  ASSERT_EQ(aio_fsync(O_DSYNC, &sync), 0);
  ExpectCompletion(Next(), sync, 0);
}

TEST_F(Aio, OneOfAPipeWaitsForItsData) {
  const Pipe pipe;
  Read(&control_, pipe.from(), buffer_.data(), buffer_.size());
  EXPECT_EQ(ErrorOf(control_), EINPROGRESS);
  ExpectNothing();
  pipe.Put("abc");
  ExpectCompletion(Next(), control_, 3);
}

TEST_F(Aio, ThoseOfAPipeAreServedInTheirOrder) {
  const Pipe pipe;
  constexpr size_t kReads = 100;
  std::vector<aiocb> controls(kReads);
  std::vector<char> bytes(kReads);
  for (size_t i = 0; i < kReads; ++i) Read(&controls[i], pipe.from(), &bytes[i], 1);
  for (size_t i = 0; i < kReads; ++i) pipe.Put(std::string(1, static_cast<char>(i)));
  for (size_t i = 0; i < kReads; ++i) {
    ExpectCompletion(Next(), controls[i], 1);
    EXPECT_EQ(bytes[i], static_cast<char>(i));
  }
}

TEST_F(Aio, BothDirectionsOfASocketAreServed) {
  std::array<int, 2> ends;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  aiocb write;
  Read(&control_, ends[0], buffer_.data(), buffer_.size());
  Write(&write, ends[0], "ping", 4);
  ExpectCompletion(Next(), write, 4);
  ASSERT_EQ(::write(ends[1], "pong!", 5), 5);
  ExpectCompletion(Next(), control_, 5);
  for (const int end : ends) close(end);
}

TEST_F(Aio, AppendedInTheOrderOfTheCalls) {
  const TemporaryFile file(O_APPEND);
  constexpr size_t kWrites = 200;
  std::vector<aiocb> controls(kWrites);
  std::vector<std::string> lines(kWrites);
  std::string expected;
  for (size_t i = 0; i < kWrites; ++i) {
    lines[i] = std::to_string(i) + "\n";
    expected += lines[i];
    Write(&controls[i], file.fd(), lines[i].data(), lines[i].size());
  }
  EXPECT_EQ(Collect(queue_.fd(), kWrites, kWrites).size(), kWrites);
  EXPECT_EQ(file.Read(), expected);
}

TEST_F(Aio, TheMoreImportantGoesFirst) {
  const Pipe pipe;
  std::array<aiocb, 4> controls;
  std::array<char, 4> bytes = {};
  const std::array<int, 4> priorities = {20, 10, 0, 10};  // aio_reqprio lowers it
  for (size_t i = 0; i < controls.size(); ++i) {
    Prepare(&controls[i], queue_.fd(), pipe.from(), &bytes[i], 1);
    controls[i].aio_reqprio = priorities[i];
    ASSERT_EQ(aio_read(&controls[i]), 0);
    // It has begun with the first when that can no longer be cancelled.
    if (i == 0) {
      while (aio_cancel(pipe.from(), &controls[0]) == AIO_CANCELED) {
        ExpectCompletion(Next(), controls[0], -1, ECANCELED);
        ASSERT_EQ(aio_read(&controls[0]), 0);
      }
    }
  }
  pipe.Put("abcd");
  for (const size_t next : {0, 2, 1, 3}) ExpectCompletion(Next(), controls[next], 1);
  EXPECT_EQ(std::string(bytes.data(), 4), "acbd");
}

TEST_F(Aio, WhatWaitsCanBeCancelled) {
  const Pipe pipe;
  aiocb waits;
  aiocb waits_too;
  Read(&control_, pipe.from(), buffer_.data(), 1);
  while (aio_cancel(pipe.from(), &control_) == AIO_CANCELED) {
    ExpectCompletion(Next(), control_, -1, ECANCELED);
    Read(&control_, pipe.from(), buffer_.data(), 1);
  }
  Read(&waits, pipe.from(), &buffer_[1], 1);
  Read(&waits_too, pipe.from(), &buffer_[2], 1);
  EXPECT_EQ(aio_cancel(pipe.from(), &waits), AIO_CANCELED);
  ExpectCompletion(Next(), waits, -1, ECANCELED);
  EXPECT_EQ(aio_cancel(pipe.from(), &waits), AIO_ALLDONE);
  EXPECT_EQ(aio_cancel(pipe.from(), nullptr), AIO_NOTCANCELED);
  ExpectCompletion(Next(), waits_too, -1, ECANCELED);
  pipe.Put("x");
  ExpectCompletion(Next(), control_, 1);
  EXPECT_EQ(aio_cancel(pipe.from(), nullptr), AIO_ALLDONE);
}

// A pipe takes less than all of it at once.
TEST_F(Aio, AllOfALongMessageIsWritten) {
  const Pipe pipe;
  std::string message(1'000'000, '\0');
  for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<char>(i % 251);
  Write(&control_, pipe.to(), message.data(), message.size());
  std::string received;
  std::array<char, 10'000> part;
  while (received.size() < message.size()) {
    const ssize_t length = read(pipe.from(), part.data(), part.size());
    ASSERT_GT(length, 0);
    received.append(part.data(), static_cast<size_t>(length));
  }
  ExpectCompletion(Next(), control_, static_cast<int64_t>(message.size()));
  EXPECT_EQ(received, message);
}

TEST_F(Aio, WhatCannotBeCancelledAnyMoreHasItsResult) {
  const Pipe pipe;
  constexpr int kRounds = 2'000;
  Thread writer([&pipe] {
    for (int i = 0; i < kRounds; ++i) pipe.Put("x");
  });
  unsigned tries = 0;
  for (int i = 0; i < kRounds;) {
    Read(&control_, pipe.from(), buffer_.data(), 1);
    // One in eight is left alone: where few threads run at a time, as under Valgrind,
    // each might be cancelled before it can begin.
    if (++tries % 8 == 0) {
      ExpectCompletion(Next(), control_, 1, 0);
      ++i;
      continue;
    }
    int result;
    do {
      result = aio_cancel(pipe.from(), &control_);
    } while (result == AIO_NOTCANCELED);
    const int error = ErrorOf(control_);
    EXPECT_EQ(error, result == AIO_CANCELED ? ECANCELED : 0);
    if (error == 0) ++i;
    ExpectCompletion(Next(), control_, error == 0 ? 1 : -1, error);
  }
  writer.Join();
}

TEST_F(Aio, ErrorsOfTheOperationComeWithIt) {
  const TemporaryFile file;
  Read(&control_, -1, buffer_.data(), 1);
  ExpectCompletion(Next(), control_, -1, EBADF);
  Read(&control_, file.fd(), buffer_.data(), 1, -1);
  ExpectCompletion(Next(), control_, -1, EINVAL);
  file.Write("x");
  Read(&control_, file.fd(), reinterpret_cast<void*>(16), 1);
  ExpectCompletion(Next(), control_, -1, EFAULT);
  Write(&control_, file.fd(), reinterpret_cast<void*>(16), 1);
  ExpectCompletion(Next(), control_, -1, EFAULT);
}

// To the program they are not open, as fcntl says.
TEST_F(Aio, NumbersThatTheLibraryKeepsForItselfAreNotOpen) {
  const TemporaryFile file;
  Write(&control_, file.fd(), buffer_.data(), 1);  // has what asynchronous I/O needs opened
  ExpectCompletion(Next(), control_, 1);
  int tried = 0;
  for (const int fd : OpenDescriptors()) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    ++tried;
    Read(&control_, fd, buffer_.data(), 1);
    ExpectCompletion(Next(), control_, -1, EBADF);
    Write(&control_, fd, buffer_.data(), 1);
    ExpectCompletion(Next(), control_, -1, EBADF);
    Prepare(&control_, queue_.fd(), fd, buffer_.data(), 1);
    EXPECT_EQ(aio_fsync(O_SYNC, &control_), -1);
    EXPECT_EQ(errno, EBADF);
    control_.aio_lio_opcode = LIO_READ;
    aiocb* list[] = {&control_};
    EXPECT_EQ(lio_listio(LIO_WAIT, list, 1, nullptr), -1);
    EXPECT_EQ(errno, EIO);
    ExpectCompletion(Next(), control_, -1, EBADF);
    EXPECT_EQ(aio_cancel(fd, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
  }
  EXPECT_GE(tried, 3);
  ExpectNothing();
}

TEST_F(Aio, BadCalls) {
  const TemporaryFile file;
  const auto error = [](int result) { return result == -1 ? errno : 0; };
  Prepare(&control_, queue_.fd(), file.fd(), buffer_.data(), 1);
  control_.aio_reqprio = -1;
  EXPECT_EQ(error(aio_read(&control_)), EINVAL);
  control_.aio_reqprio = 21;
  EXPECT_EQ(error(aio_write(&control_)), EINVAL);
  control_.aio_reqprio = 0;
  EXPECT_EQ(error(aio_fsync(-1, &control_)), EINVAL);
  control_.aio_sigevent.sigev_kevent_fd = -1;
  EXPECT_EQ(error(aio_read(&control_)), EBADF);
  control_.aio_sigevent.sigev_kevent_fd = file.fd();
  EXPECT_EQ(error(aio_read(&control_)), EINVAL);
  ExpectNothing();
}

TEST_F(Aio, AClosedQueueHearsNothing) {
  const Pipe pipe;
  aiocb control;
  {
    const Queue closed;
    Prepare(&control, closed.fd(), pipe.from(), buffer_.data(), 1);
    ASSERT_EQ(aio_read(&control), 0);
  }
  const Queue another;  // perhaps of the same number
  pipe.Put("x");
  const std::array<const aiocb*, 1> list = {&control};
  EXPECT_EQ(aio_suspend(list.data(), 1, nullptr), 0);
  EXPECT_EQ(aio_return(&control), 1);
  EXPECT_TRUE(Collect(another.fd(), 0, 1).empty());
  ExpectNothing();
}

TEST_F(Aio, WhatHasNotBegunEndsWithItsDescriptor) {
  Pipe pipe;
  constexpr size_t kReads = 10;
  std::array<aiocb, kReads> controls;
  for (aiocb& control : controls) Read(&control, pipe.from(), buffer_.data(), 1);
  const Pipe stranger;
  stranger.Put("not for them");
  ASSERT_EQ(dup2(stranger.from(), pipe.from()), pipe.from());
  close(std::exchange(pipe.ends[1], -1));
  // The first may have begun, and finds its end of file.
  for (const ukevent& event : Collect(queue_.fd(), kReads, kReads)) {
    const bool ended = event.ret_data[0] == 0 && event.ret_data[1] == 0;
    EXPECT_TRUE(ended || event.ret_data[1] == ECANCELED) << event.ret_data[1];
  }
  EXPECT_EQ(read(stranger.from(), buffer_.data(), buffer_.size()), 12);
}

// The kernel ends an operation in the thread that gave it to the io_uring, whose
// epoll_wait then fails with EINTR.
TEST_F(Aio, ACallThatReplacesNothingEndsNothing) {
  const Pipe pipe;
  const Pipe stranger;
  Read(&control_, pipe.from(), buffer_.data(), 1);
  aiocb waits;
  Read(&waits, pipe.from(), buffer_.data() + 1, 1);
  EXPECT_EQ(dup2(-1, pipe.from()), -1);
  EXPECT_EQ(dup2(1 << 20, pipe.from()), -1);
  EXPECT_EQ(dup2(pipe.from(), pipe.from()), pipe.from());
  EXPECT_EQ(dup3(pipe.from(), pipe.from(), 0), -1);
  EXPECT_EQ(dup3(-1, pipe.from(), 0), -1);
  EXPECT_EQ(dup3(stranger.from(), pipe.from(), ~O_CLOEXEC), -1);
  EXPECT_EQ(ErrorOf(waits), EINPROGRESS);
  pipe.Put("ab");
  ExpectCompletion(Next(), control_, 1);
  ExpectCompletion(Next(), waits, 1);
}

TEST_F(Aio, TheThreadThatAskedIsNotInterrupted) {
  const Pipe pipe;
  const Pipe other;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, other.from(), &event), 0);
  int result = -2;
  Thread asks([&] {
    Read(&control_, pipe.from(), buffer_.data(), 1);
    result = epoll_wait(epoll, &event, 1, -1);
  });
  asks.AwaitAsleep();
  pipe.Put("x");
  ExpectCompletion(Next(), control_, 1);
  other.Put("y");
  asks.Join();
  EXPECT_EQ(result, 1);
  close(epoll);
}

// Closes the library's io_uring as a daemon might, by a system call; -1: there
// is none.
int CloseRing() {
  for (int fd = 3; fd < 1024; ++fd) {
    std::array<char, 64> target = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target.data(), target.size() - 1) <= 0) continue;
    if (std::strcmp(target.data(), "anon_inode:[io_uring]") != 0) continue;
    syscall(SYS_close, fd);
    return fd;
  }
  return -1;
}

// A number that was closed is another file's: what is done there does not wait for what
// goes on with the file before.
class AioAndNumbers : public Aio, public testing::WithParamInterface<bool> {
 protected:
  // Until it is the kernel's, which has the file then: one that has begun is so with an
  // io_uring, and in a thread that blocks when that has called.
  static void AwaitInKernel(int fd) {
    for (;;) {
      for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(task.path() / "comm"), name);
        if (name == "kevent-ring") return;
        std::ifstream file(task.path() / "syscall");
        long call = -1;
        long argument = -1;
        file >> call >> std::hex >> argument;
        if (call == SYS_read && argument == fd) return;
      }
      usleep(1000);
    }
  }
};

TEST_P(AioAndNumbers, ThatAreGivenAgainAreOfAnotherFile) {
  Pipe pipe;
  Read(&control_, pipe.from(), buffer_.data(), 1);
  while (aio_cancel(pipe.from(), &control_) == AIO_CANCELED) {
    ExpectCompletion(Next(), control_, -1, ECANCELED);
    Read(&control_, pipe.from(), buffer_.data(), 1);
  }
  const Pipe another;
  const int number = pipe.from();
  AwaitInKernel(number);
  if (!GetParam()) {
    ASSERT_EQ(close(number), 0);
  }
  ASSERT_EQ(dup2(another.from(), number), number);
  another.Put("y");
  aiocb later;
  Read(&later, number, &buffer_[1], 1);
  ExpectCompletion(Next(), later, 1);
  EXPECT_EQ(buffer_[1], 'y');
  // A sync waits for what was asked for before on its file.
  Prepare(&later, queue_.fd(), number, nullptr, 0);
  ASSERT_EQ(aio_fsync(O_SYNC, &later), 0);
  ExpectCompletion(Next(), later, -1, EINVAL);
  // Nor is the one before meant by who asks for all of a number.
  EXPECT_EQ(aio_cancel(number, nullptr), AIO_ALLDONE);
  EXPECT_EQ(aio_cancel(number, &control_), AIO_NOTCANCELED);
  pipe.Put("x");
  ExpectCompletion(Next(), control_, 1);
}

INSTANTIATE_TEST_SUITE_P(ByDup2, AioAndNumbers, testing::Bool());

TEST_F(Aio, GoesOnWhenItsRingIsClosed) {
  const Pipe pipe;
  const Pipe other;
  aiocb later;
  Read(&control_, pipe.from(), buffer_.data(), 1);
  while (aio_cancel(pipe.from(), &control_) == AIO_CANCELED) {
    ExpectCompletion(Next(), control_, -1, ECANCELED);
    Read(&control_, pipe.from(), buffer_.data(), 1);
  }
  const int ring = CloseRing();
  const int stranger = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (ring >= 0) {
    ASSERT_EQ(syscall(SYS_dup3, stranger, ring, O_CLOEXEC), ring);
  }
  Read(&later, other.from(), &buffer_[1], 1);
  other.Put("y");
  ExpectCompletion(Next(), later, 1);
  // The kernel has this one.
  pipe.Put("x");
  ExpectCompletion(Next(), control_, 1);
  Read(&later, other.from(), &buffer_[1], 1);
  other.Put("y");
  ExpectCompletion(Next(), later, 1);
  if (ring >= 0) {
    EXPECT_EQ(write(ring, "x", 1), 1);
    EXPECT_EQ(close(ring), 0);
  }
  close(stranger);
}

TEST_F(Aio, ManyOfManyPipesAtOnce) {
  constexpr size_t kPipes = 15;  // fewer than the threads that there may be
  std::vector<std::unique_ptr<Pipe>> pipes;
  std::vector<aiocb> controls(kPipes);
  std::vector<char> bytes(kPipes);
  for (size_t i = 0; i < kPipes; ++i) {
    pipes.push_back(std::make_unique<Pipe>());
    Read(&controls[i], pipes[i]->from(), &bytes[i], 1);
  }
  std::mt19937 random(1);
  std::vector<size_t> order(kPipes);
  for (size_t i = 0; i < kPipes; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  for (const size_t i : order) {
    pipes[i]->Put("x");
    ExpectCompletion(Next(), controls[i], 1);
  }
}

}  // namespace
}  // namespace kevent_test
