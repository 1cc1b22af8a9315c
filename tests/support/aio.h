// SPDX-License-Identifier: MIT
//
// Control blocks and files for tests of asynchronous I/O.

#ifndef KEVENT_TESTS_SUPPORT_AIO_H_
#define KEVENT_TESTS_SUPPORT_AIO_H_

#include <aio.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <kevent/kevent.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>

namespace kevent_test {

class TemporaryFile {
 public:
  explicit TemporaryFile(int flags = 0) {
    std::string name = testing::TempDir() + "/kevent.XXXXXX";
    fd_ = mkostemp(name.data(), flags | O_CLOEXEC);
    // tmpfs knows no O_DIRECT before Linux 6.6.
    is_refused_ = fd_ < 0 && errno == EINVAL;
    if (is_refused_) return;
    EXPECT_GE(fd_, 0) << std::strerror(errno);
    unlink(name.c_str());
  }
  ~TemporaryFile() {
    if (fd_ >= 0) close(fd_);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  int fd() const { return fd_; }
  // The file system has no such file.
  bool is_refused() const { return is_refused_; }
  void Write(const std::string& text) const {
    EXPECT_EQ(pwrite(fd_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::string Read() const {
    std::string text(1 << 20, '\0');
    const ssize_t count = pread(fd_, text.data(), text.size(), 0);
    text.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return text;
  }

 private:
  int fd_;
  bool is_refused_ = false;
};

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0) << std::strerror(errno); }
  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) close(end);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int from() const { return ends[0]; }
  int to() const { return ends[1]; }
  void Put(const std::string& text) const {
    EXPECT_EQ(write(to(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  int ends[2];
};

// A control block that completes into a queue, with its own address for cookie.
inline void Prepare(aiocb* control, int queue, int fd, void* buffer, size_t bytes,
                    off_t offset = 0) {
  std::memset(control, 0, sizeof *control);
  control->aio_fildes = fd;
  control->aio_buf = buffer;
  control->aio_nbytes = bytes;
  control->aio_offset = offset;
  kevent_sigevent(&control->aio_sigevent, queue, control);
}

// aio_error, and for ThreadSanitizer a reader of what the library has stored before: it does not
// see into the C library, where aio_error reads.
inline int ErrorOf(const aiocb& control) {
  std::ignore =
      std::atomic_ref(const_cast<aiocb&>(control).__error_code).load(std::memory_order_acquire);
  return aio_error(&control);
}

inline void AwaitEnd(const aiocb& control) {
  const aiocb* const list[] = {&control};
  while (ErrorOf(control) == EINPROGRESS) aio_suspend(list, 1, nullptr);
}

inline void ExpectCompletion(const ukevent& event, const aiocb& control, int64_t result,
                             int error = 0) {
  EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_AIO));
  EXPECT_EQ(event.event, static_cast<uint32_t>(KEVENT_AIO_BIO));
  EXPECT_EQ(event.ret_flags, static_cast<uint32_t>(KEVENT_RET_DONE));
  EXPECT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(&control));
  EXPECT_EQ(event.ptr, &control);
  EXPECT_EQ(event.ret_data[0], static_cast<uint32_t>(result));
  EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(error));
  EXPECT_EQ(ErrorOf(control), error);
  EXPECT_EQ(aio_return(const_cast<aiocb*>(&control)), result);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_AIO_H_
