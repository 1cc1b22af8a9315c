// SPDX-License-Identifier: MIT

#include <kevent/kevent.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "bench/transferbench/servers.h"

namespace transferbench {
namespace {

// A file of 1 MiB in the page cache.
int File() {
  static const int s_file = [] {
    std::FILE* const file = std::tmpfile();
    Must(file != nullptr, "tmpfile");
    const std::string text(kFileBytes, 'f');
    Must(write(fileno(file), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
         "write");
    return fileno(file);
  }();
  return s_file;
}

}  // namespace

void FilesByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  for (size_t i = 0; i < all.size(); ++i) Watch(epoll, EPOLL_CTL_ADD, all[i].server, EPOLLIN, i);
  std::array<epoll_event, kBatch> events;
  for (size_t answered = 0; answered < messages;) {
    const int count = epoll_wait(epoll, events.data(), kBatch, 60'000);
    Must(count > 0, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const size_t number = events[static_cast<size_t>(i)].data.u64;
      const int fd = all[number].server;
      Buffer& buffer = buffers[number];
      if (!buffer.sends) {
        const ssize_t got = recv(fd, buffer.bytes.data(), bytes, 0);
        if (got < 0 && errno == EAGAIN) continue;
        Must(got == static_cast<ssize_t>(bytes), "recv");
      }
      auto place = static_cast<off_t>(buffer.sent);
      const ssize_t sent = sendfile(fd, File(), &place, kFileBytes - buffer.sent);
      Must(sent > 0 || errno == EAGAIN, "sendfile");
      if (sent > 0) buffer.sent += static_cast<size_t>(sent);
      const bool is_over = buffer.sent == kFileBytes;
      if (is_over == buffer.sends) {
        Watch(epoll, EPOLL_CTL_MOD, fd, is_over ? EPOLLIN : EPOLLOUT, number);
      }
      buffer.sends = !is_over;
      if (!is_over) continue;
      buffer.sent = 0;
      ++answered;
    }
  }
  close(epoll);
}

void FilesByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  const auto ask = [&](size_t number) {
    kevent_transfer transfer =
        Transfer(KEVENT_NAIO_RECV, all[number].server, buffers[number].bytes, number);
    Must(kevent_transfers(queue, 1, &transfer) == 1, "kevent_transfers");
  };
  for (size_t i = 0; i < all.size(); ++i) ask(i);
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      const auto number = reinterpret_cast<size_t>(event.ptr);
      if (event.event == KEVENT_NAIO_SENDFILE) {
        Must(event.ret_data[0] == kFileBytes, "a file is cut");
        if (++answered < messages) ask(number);
        continue;
      }
      kevent_transfer transfer = {};
      transfer.operation = KEVENT_NAIO_SENDFILE;
      transfer.socket = all[number].server;
      transfer.file = File();
      transfer.size = kFileBytes;
      transfer.cookie = event.ptr;
      Must(kevent_transfers(queue, 1, &transfer) == 1, "kevent_transfers");
    }
  }
  close(queue);
}

}  // namespace transferbench
