// SPDX-License-Identifier: MIT
//
// The part of the simulated seam that the sources of kevents use.

#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/system/system.h"
#include "tests/unit/simulated_system.h"

namespace kevent::sys {

using kevent_test::SimulatedFile;
using kevent_test::Simulation;
using Kind = SimulatedFile::Kind;

namespace {

Simulation& Sim() { return Simulation::Get(); }

int EnterFallible(const char* function) {
  Sim().Enter(function);
  return Sim().Fail();
}

int CreateFile(Kind kind, int subject) {
  auto file = std::make_shared<SimulatedFile>();
  file->kind = kind;
  file->subject = subject;
  return Sim().Install(std::move(file), 3);
}

}  // namespace

int PollNow(int fd, short events) {
  Sim().Enter(__func__);
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  const uint32_t asked = static_cast<uint16_t>(events) | EPOLLERR | EPOLLHUP;
  return static_cast<int>(Sim().ReadyEvents(*file) & asked);
}

int FileMode(int fd) {
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  return file->mode == 0 ? S_IFSOCK : static_cast<int>(file->mode);
}

bool IsWritable(void*, size_t) { return true; }

int CreateSignalfd(int signal) {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  return CreateFile(Kind::kSubject, signal);
}

int SetSignalfd(int signalfd, SignalSet) {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  return signalfd;
}

SignalSet PendingSignals() { return 0; }
int LetSignalsThrough(const sigset_t*) { return 0; }

int TakeSignals(int signalfd, uint32_t* count, uint32_t* sender) {
  Sim().Enter(__func__);
  const auto file = Sim().File(signalfd);
  if (file == nullptr || file->kind != Kind::kSubject) {
    Sim().violations.emplace_back("reads a stranger's descriptor");
    return -EBADF;
  }
  if (file->pending == 0) return -EAGAIN;
  *count = file->pending;
  *sender = 1;
  file->pending = 0;
  return 0;
}

int CreatePidfd(int process) {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  return CreateFile(Kind::kSubject, process);
}

int ExitStatus(int pidfd, int, int* status) {
  *status = 0;
  return Sim().File(pidfd)->pending != 0 ? 0 : -EAGAIN;
}

int CreateInotify() {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  return CreateFile(Kind::kInotify, 0);
}

// The watch of a descriptor is its number.
int InotifyAdd(int, int fd, uint32_t) {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  return fd;
}

void InotifyRemove(int, int) { Sim().Enter(__func__); }

int ReadInotify(int inotify, void* buffer, size_t bytes) {
  Sim().Enter(__func__);
  auto& unread = Sim().File(inotify)->unread;
  const size_t count = std::min(bytes, unread.size());
  if (count == 0) return -EAGAIN;
  std::memcpy(buffer, unread.data(), count);
  unread.erase(unread.begin(), unread.begin() + static_cast<ptrdiff_t>(count));
  return static_cast<int>(count);
}

}  // namespace kevent::sys
