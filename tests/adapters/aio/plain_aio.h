// SPDX-License-Identifier: MIT
//
// Descriptors and operations for tests of a program that knows nothing of libkevent.

#ifndef KEVENT_TESTS_ADAPTERS_AIO_PLAIN_AIO_H_
#define KEVENT_TESTS_ADAPTERS_AIO_PLAIN_AIO_H_

#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <string>

namespace aio_adapter_test {

// 1 if libkevent's engine has operations of the descriptor in flight.
inline int PendingInEngine(int fd) {
  static const auto pending =
      reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT, "kevent_aio_pending"));
  return pending == nullptr ? -1 : pending(fd);
}

// A file for reads that wait until something is put into it.
class Stream {
 public:
  enum Kind { kReadOnly, kWritable };
  explicit Stream(Kind kind) {
    std::string name = testing::TempDir() + "/stream.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr) << std::strerror(errno);
    const std::string fifo = name + "/fifo";
    EXPECT_EQ(mkfifo(fifo.c_str(), 0600), 0) << std::strerror(errno);
    to_ = open(fifo.c_str(), O_RDWR | O_CLOEXEC);
    fd_ = open(fifo.c_str(), (kind == kReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    EXPECT_GE(fd_, 0) << std::strerror(errno);
    unlink(fifo.c_str());
    rmdir(name.c_str());
  }
  ~Stream() {
    Close();
    close(to_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  int fd() const { return fd_; }
  void Put(const std::string& text) const {
    EXPECT_EQ(write(to_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void SetDirect(bool direct) const { EXPECT_EQ(fcntl(fd_, F_SETFL, direct ? O_DIRECT : 0), 0); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int to_;
  int fd_;
};

// A read of one byte.
class Read {
 public:
  explicit Read(int fd) {
    std::memset(&control, 0, sizeof control);
    control.aio_fildes = fd;
    control.aio_buf = &byte;
    control.aio_nbytes = 1;
    control.aio_lio_opcode = LIO_READ;
    control.aio_sigevent.sigev_notify = SIGEV_NONE;
  }
  void Begin() { EXPECT_EQ(aio_read(&control), 0) << std::strerror(errno); }
  bool IsInProgress() const { return aio_error(&control) == EINPROGRESS; }
  // The byte, when it has been read; 0 if there was none.
  char Await() {
    const aiocb* const list[] = {&control};
    while (IsInProgress()) aio_suspend(list, 1, nullptr);
    return aio_return(&control) == 1 ? byte : '\0';
  }
  // The same in a child of fork, where the lock that the C library's aio_error takes may for ever
  // be that of a thread of the parent.
  char AwaitInChild() const {
    while (std::atomic_ref(control.__error_code).load() == EINPROGRESS) sched_yield();
    return control.__return_value == 1 ? byte : '\0';
  }
  // Begins, so that it is no longer to be cancelled.
  void BeginRunning() {
    do {
      Begin();
    } while (aio_cancel(control.aio_fildes, &control) == AIO_CANCELED);
  }

  char byte = '?';

 private:
  // gcc has a warning for an aiocb in another class: it ends with an array of no elements.
  const std::unique_ptr<aiocb> owned_ = std::make_unique<aiocb>();

 public:
  aiocb& control = *owned_;
};

// Begins a read that the engine has, or the C library.  A number may have been another file's, and
// the C library is not through with that at once: then a read is done on its side.
inline void BeginOn(bool in_engine, const Stream& stream, Read* read) {
  for (int i = 0; i < 1'000; ++i) {
    read->Begin();
    if ((PendingInEngine(read->control.aio_fildes) == 1) == in_engine) return;
    stream.Put("z");
    EXPECT_EQ(read->Await(), 'z');
  }
  ADD_FAILURE() << "operations stay on the other side";
}

}  // namespace aio_adapter_test

#endif  // KEVENT_TESTS_ADAPTERS_AIO_PLAIN_AIO_H_
