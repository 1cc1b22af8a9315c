// SPDX-License-Identifier: MIT
//
// The part of the simulated seam that transfers on sockets use.

#include "tests/unit/simulated_sockets.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "core/system/system.h"
#include "tests/unit/simulated_system.h"

namespace kevent_test {
namespace {

Simulation& Sim() { return Simulation::Get(); }

std::shared_ptr<SimulatedFile> g_file_of_paths;

}  // namespace

uint32_t SimulatedSocket::Readiness() const {
  return (IsReadable() ? EPOLLIN : 0u) | (IsWritable() ? EPOLLOUT : 0u) |
         (is_broken ? EPOLLERR | EPOLLHUP : 0u);
}

size_t SimulatedContent::CachedFrom(size_t place, size_t most) const {
  if (has_no_pages) return 0;
  size_t end = place;
  while (end < place + most && end < bytes.size() && cached[end / page]) {
    end = (end / page + 1) * page;
  }
  return end >= bytes.size() ? most : std::min(end - std::min(end, place), most);
}

void SimulatedContent::Cache(size_t place, size_t count) {
  for (size_t at = place; at < std::min(place + count, bytes.size()); at += page) {
    cached[at / page] = true;
  }
  if (count != 0 && place < bytes.size()) {
    cached[(std::min(place + count, bytes.size()) - 1) / page] = true;
  }
}

int OpenSimulatedSocket(int type, int status_flags) {
  auto file = std::make_shared<SimulatedFile>();
  file->socket = std::make_shared<SimulatedSocket>();
  file->socket->type = type;
  file->status_flags = status_flags;
  return Sim().Install(std::move(file), 3);
}

SimulatedSocket& SocketOf(int fd) { return *Sim().File(fd)->socket; }

void SocketChanged(int fd) { Sim().SetReady(fd, SocketOf(fd).Readiness()); }

int OpenSimulatedFile(std::string content, size_t bytes_of_page) {
  auto file = std::make_shared<SimulatedFile>();
  file->mode = S_IFREG;
  file->content = std::make_shared<SimulatedContent>(std::move(content), bytes_of_page);
  file->content->number = Sim().next_serial_++;
  return Sim().Install(std::move(file), 3);
}

SimulatedContent& ContentOf(int fd) { return *Sim().File(fd)->content; }

void SetFileOfPaths(int fd) { g_file_of_paths = fd < 0 ? nullptr : Sim().File(fd); }

}  // namespace kevent_test

namespace kevent::sys {

using kevent_test::g_file_of_paths;
using kevent_test::Sim;
using kevent_test::SimulatedContent;
using kevent_test::SimulatedFile;
using kevent_test::SimulatedSocket;

namespace {

// Takes up to so many bytes of what came: a message, or a stream's.
size_t Take(SimulatedSocket& socket, char* place, size_t bytes) {
  size_t taken = 0;
  do {
    std::string& next = socket.came.front();
    const size_t part = std::min(bytes - taken, next.size());
    next.copy(place + taken, part);
    taken += part;
    if (socket.type != SOCK_STREAM || part == next.size()) {
      socket.came.pop_front();
    } else {
      next.erase(0, part);
    }
  } while (socket.type == SOCK_STREAM && taken < bytes && !socket.came.empty());
  return taken;
}

int64_t Put(SimulatedSocket& socket, const char* place, size_t bytes) {
  if (socket.is_broken) return -EPIPE;
  if (socket.room == 0) return -EAGAIN;
  if (socket.type != SOCK_STREAM) {
    --socket.room;
    socket.messages_sent.emplace_back(place, bytes);
    return static_cast<int64_t>(bytes);
  }
  const size_t part = std::min(bytes, socket.room);
  socket.room -= part;
  socket.sent.append(place, part);
  return static_cast<int64_t>(part);
}

}  // namespace

int SocketType(int fd) {
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  return file->socket == nullptr ? -ENOTSOCK : file->socket->type;
}

int64_t ReceiveAtOnce(int fd, void* buffer, size_t bytes, int) {
  Sim().Enter(__func__);
  if (const int type = SocketType(fd); type < 0) return type;
  const auto file = Sim().File(fd);
  SimulatedSocket& socket = *file->socket;
  if (socket.came.empty() && socket.is_broken) {
    return std::exchange(socket.was_told, true) ? 0 : -ECONNRESET;
  }
  if (socket.came.empty()) return socket.has_ended ? 0 : -EAGAIN;
  const size_t taken = Take(socket, static_cast<char*>(buffer), bytes);
  file->ready = socket.Readiness();
  return static_cast<int64_t>(taken);
}

bool HasEndedForReceipts(int) { return false; }

int64_t SendAtOnce(int fd, const void* buffer, size_t bytes, int) {
  Sim().Enter(__func__);
  if (const int type = SocketType(fd); type < 0) return type;
  const auto file = Sim().File(fd);
  const int64_t result = Put(*file->socket, static_cast<const char*>(buffer), bytes);
  file->ready = file->socket->Readiness();
  return result;
}

int64_t SendFileAtOnce(int fd, int source, int64_t offset, size_t bytes) {
  const SimulatedContent& content = *Sim().File(source)->content;
  const auto place = static_cast<size_t>(offset);
  if (content.CachedFrom(place, 1) == 0 && !content.has_no_pages) {
    Sim().violations.emplace_back("waits for a disk");
  }
  if ((Sim().File(fd)->status_flags & O_NONBLOCK) == 0) {
    Sim().violations.emplace_back("sends a file by a socket that may have it wait");
  }
  if (place >= content.bytes.size()) return 0;
  const size_t part = std::min(bytes, content.bytes.size() - place);
  return SendAtOnce(fd, content.bytes.data() + place, part, 0);
}

int64_t CachedBytes(int fd, int64_t offset, size_t bytes) {
  Sim().Enter(__func__);
  const auto& content = Sim().File(fd)->content;
  if (content == nullptr) return static_cast<int64_t>(bytes);
  return static_cast<int64_t>(content->CachedFrom(static_cast<size_t>(offset), bytes));
}

uint64_t FileToSend(int fd, int* error) {
  const auto file = Sim().File(fd);
  *error = file == nullptr ? -EBADF : file->content == nullptr ? -EINVAL : 0;
  return *error == 0 ? file->content->number : 0;
}

int OpenFile(const char*) {
  Sim().Enter(__func__);
  if (const int error = Sim().Fail(); error != 0) return error;
  return g_file_of_paths == nullptr ? -ENOENT : Sim().Install(g_file_of_paths, 3);
}

}  // namespace kevent::sys
