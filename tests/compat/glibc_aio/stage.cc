// SPDX-License-Identifier: MIT

#include "tests/compat/glibc_aio/stage.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace aio_conformance {
namespace {

// So long a notification may take.
constexpr int kPatience = 10'000;

}  // namespace

std::string Name(int error) { return error == 0 ? "0" : strerrorname_np(error); }

aiocb Stage::Control(int fd, const void* buffer, size_t bytes, off_t offset) const {
  aiocb control;
  std::memset(&control, 0, sizeof control);
  control.aio_fildes = fd;
  control.aio_buf = const_cast<void*>(buffer);
  control.aio_nbytes = bytes;
  control.aio_offset = offset;
  return control;
}

std::string Stage::Result(int result) {
  return result == -1 ? Name(errno) : std::to_string(result);
}

bool Stage::Notified(const aiocb& control) { return NotifiedOf(&control); }

bool Stage::NotifiedOf(const void* wanted) { return Next() == wanted; }

void* Stage::Next() {
  void* cookie = nullptr;
  return way_->Next(kPatience, &cookie) ? cookie : nullptr;
}

int Stage::Others() {
  int count = 0;
  void* cookie;
  while (way_->Next(1, &cookie)) ++count;
  return count;
}

std::string Stage::Outcome(aiocb* control) {
  const int error = aio_error(control);
  return Name(error) + ", " + std::to_string(aio_return(control));
}

std::string Stage::Run(int (*start)(aiocb*), aiocb* control) {
  control->aio_sigevent = Request(control);
  const int result = start(control);
  if (result != 0) return "refused: " + Result(result);
  if (!Notified(*control)) return "not notified";
  return Outcome(control);
}

std::string Stage::Read(int fd, void* buffer, size_t bytes, off_t offset) {
  aiocb control = Control(fd, buffer, bytes, offset);
  return Run(aio_read, &control);
}

std::string Stage::Write(int fd, const void* buffer, size_t bytes, off_t offset) {
  aiocb control = Control(fd, buffer, bytes, offset);
  return Run(aio_write, &control);
}

// ---- Files ------------------------------------------------------------------------

File::File(int flags, const std::string& text) {
  const char* directory = std::getenv("TMPDIR");
  name_ = std::string(directory == nullptr ? "/tmp" : directory) + "/aio.XXXXXX";
  fd_ = mkostemp(name_.data(), flags | O_CLOEXEC);
  if (fd_ < 0 || write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::abort();
  }
}

File::~File() {
  close(fd_);
  for (const int fd : others_) close(fd);
  unlink(name_.c_str());
}

int File::Reopen(int flags) {
  others_.push_back(open(name_.c_str(), flags | O_CLOEXEC));
  return others_.back();
}

std::string File::Text() const {
  std::string text(4096, '\0');
  const ssize_t bytes = pread(fd_, text.data(), text.size(), 0);
  text.resize(bytes < 0 ? 0 : static_cast<size_t>(bytes));
  return text;
}

Pipe::Pipe(int flags) : ends_() {
  if (pipe2(ends_.data(), flags | O_CLOEXEC) != 0) std::abort();
}

Pipe::~Pipe() {
  CloseReader();
  CloseWriter();
}

void Pipe::Put(const std::string& text) const {
  if (write(to(), text.data(), text.size()) < 0) std::abort();
}

std::string Pipe::Get(size_t bytes) const {
  std::string text(bytes, '\0');
  const ssize_t count = read(from(), text.data(), bytes);
  text.resize(count < 0 ? 0 : static_cast<size_t>(count));
  return text;
}

void Pipe::CloseReader() {
  if (ends_[0] >= 0) close(ends_[0]);
  ends_[0] = -1;
}

void Pipe::CloseWriter() {
  if (ends_[1] >= 0) close(ends_[1]);
  ends_[1] = -1;
}

void BeginBlocked(Stage& stage, aiocb* control, Pipe* pipe, char* byte) {
  do {
    *control = stage.Control(pipe->from(), byte, 1);
    control->aio_sigevent = stage.Request(control);
    if (aio_read(control) != 0) std::abort();
  } while (aio_cancel(pipe->from(), control) == AIO_CANCELED && stage.Notified(*control));
}

}  // namespace aio_conformance
