// SPDX-License-Identifier: MIT

#include <kevent/kevent.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#if KEVENT_HAVE_LIBURING
#include <liburing.h>
#endif

#include <array>
#include <memory>

#include "bench/transferbench/servers.h"

namespace transferbench {

std::vector<Buffer> Buffers(size_t count, size_t bytes) {
  constexpr size_t kMost = size_t{64} << 20;
  static char* const room = static_cast<char*>(mmap(
      nullptr, kMost, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  Must(room != MAP_FAILED && count * bytes <= kMost, "mmap");
  std::vector<Buffer> buffers(count);
  for (size_t i = 0; i < count; ++i) buffers[i].bytes = {room + i * bytes, bytes};
  return buffers;
}

void Watch(int epoll, int command, int fd, uint32_t events, size_t number) {
  epoll_event interest = {};
  interest.events = events;
  interest.data.u64 = number;
  Must(epoll_ctl(epoll, command, fd, &interest) == 0, "epoll_ctl");
}

kevent_transfer Transfer(unsigned operation, int socket, std::span<char> bytes, size_t number) {
  kevent_transfer transfer = {};
  transfer.operation = operation;
  transfer.socket = socket;
  transfer.buffer = bytes.data();
  transfer.size = bytes.size();
  transfer.cookie = reinterpret_cast<void*>(number);
  return transfer;
}

void EchoByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages) {
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
        const ssize_t got = recv(fd, &buffer.bytes[buffer.received], bytes - buffer.received, 0);
        if (got < 0 && errno == EAGAIN) continue;
        Must(got > 0, "recv");
        buffer.received += static_cast<size_t>(got);
        if (buffer.received != bytes) continue;
      }
      const ssize_t sent = send(fd, &buffer.bytes[buffer.sent], bytes - buffer.sent, MSG_NOSIGNAL);
      Must(sent > 0 || errno == EAGAIN, "send");
      if (sent > 0) buffer.sent += static_cast<size_t>(sent);
      if (buffer.sent != bytes) {
        if (!buffer.sends) Watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, number);
        buffer.sends = true;
        continue;
      }
      if (buffer.sends) Watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, number);
      buffer.sends = false;
      buffer.received = buffer.sent = 0;
      ++answered;
    }
  }
  close(epoll);
}

void EchoByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  std::vector<kevent_transfer> transfers;
  const auto begin = [&] {
    const auto count = static_cast<unsigned>(transfers.size());
    Must(kevent_transfers(queue, count, transfers.data()) == static_cast<int>(count),
         "kevent_transfers");
    transfers.clear();
  };
  for (size_t i = 0; i < all.size(); ++i) {
    transfers.push_back(Transfer(KEVENT_NAIO_RECV, all[i].server, buffers[i].bytes, i));
  }
  begin();
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      Must(event.ret_data[0] == bytes, "a message is cut");
      const auto number = reinterpret_cast<size_t>(event.ptr);
      const bool was_sent = event.event == KEVENT_NAIO_SEND;
      answered += was_sent ? 1 : 0;
      transfers.push_back(Transfer(was_sent ? KEVENT_NAIO_RECV : KEVENT_NAIO_SEND,
                                   all[number].server, buffers[number].bytes, number));
    }
    if (answered < messages) begin();
  }
  close(queue);
}

// The same by the calls of 2006, one by one.
void EchoByCalls(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  std::vector<size_t> numbers(1 << 16);
  for (size_t i = 0; i < all.size(); ++i) {
    numbers[static_cast<size_t>(all[i].server)] = i;
    Must(aio_recv(queue, all[i].server, buffers[i].bytes.data(), bytes, 0) == 0, "aio_recv");
  }
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      const int fd = static_cast<int>(event.id.raw[0]);
      if (event.event == KEVENT_NAIO_SEND) {
        if (++answered == messages) break;
        Must(aio_recv(queue, fd, event.ptr, bytes, 0) == 0, "aio_recv");
      } else {
        Must(aio_send(queue, fd, event.ptr, bytes, 0) == 0, "aio_send");
      }
    }
  }
  close(queue);
}

#if KEVENT_HAVE_LIBURING
void EchoByRing(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  io_uring ring;
  Must(io_uring_queue_init(4096, &ring, 0) == 0, "io_uring_queue_init");
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  const auto begin = [&](size_t number, bool sends, size_t done) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe == nullptr) {
      io_uring_submit(&ring);
      sqe = io_uring_get_sqe(&ring);
    }
    char* const place = buffers[number].bytes.data() + done;
    if (sends) {
      io_uring_prep_send(sqe, all[number].server, place, bytes - done, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
      io_uring_prep_recv(sqe, all[number].server, place, bytes - done, MSG_WAITALL);
    }
    sqe->user_data = number << 1 | (sends ? 1 : 0);
  };
  for (size_t i = 0; i < all.size(); ++i) begin(i, false, 0);
  std::array<io_uring_cqe*, kBatch> found;
  for (size_t answered = 0; answered < messages;) {
    Must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_submit_and_wait");
    const unsigned count = io_uring_peek_batch_cqe(&ring, found.data(), kBatch);
    for (unsigned i = 0; i < count; ++i) {
      const size_t number = found[i]->user_data >> 1;
      const bool was_sent = (found[i]->user_data & 1) != 0;
      Must(found[i]->res > 0, "an io_uring's transfer");
      size_t& done = buffers[number].received;
      done += static_cast<size_t>(found[i]->res);
      if (done < bytes) {
        begin(number, was_sent, done);
        continue;
      }
      done = 0;
      answered += was_sent ? 1 : 0;
      begin(number, !was_sent, 0);
    }
    io_uring_cq_advance(&ring, count);
  }
  io_uring_queue_exit(&ring);
}
#endif

}  // namespace transferbench
