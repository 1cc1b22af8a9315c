// SPDX-License-Identifier: MIT
//
// The ways of serving that are measured.  Each answers `messages` of `bytes` on these sockets.

#ifndef KEVENT_BENCH_TRANSFERBENCH_SERVERS_H_
#define KEVENT_BENCH_TRANSFERBENCH_SERVERS_H_

#include <kevent/kevent.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bench/transferbench/clients.h"

namespace transferbench {

using Serve = std::function<void(const std::vector<Connection>&, size_t bytes, size_t messages)>;

// ---- An echo ----

void EchoByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages);
void EchoByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages);
// By aio_recv and aio_send.
void EchoByCalls(const std::vector<Connection>& all, size_t bytes, size_t messages);
#if KEVENT_HAVE_LIBURING
void EchoByRing(const std::vector<Connection>& all, size_t bytes, size_t messages);
#endif

// ---- A file, of which a message asks ----

constexpr size_t kFileBytes = 1 << 20;

void FilesByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages);
void FilesByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages);

// ---- What they share ----

struct Buffer {
  std::span<char> bytes;
  size_t received = 0;
  size_t sent = 0;
  bool sends = false;
};

// Room that is there before the time runs.  It is shared, lest a page of it is copied for the first
// write after a fork.
std::vector<Buffer> Buffers(size_t count, size_t bytes);

void Watch(int epoll, int command, int fd, uint32_t events, size_t number);

// A transfer of these bytes on the socket of this number.
kevent_transfer Transfer(unsigned operation, int socket, std::span<char> bytes, size_t number);

}  // namespace transferbench

#endif  // KEVENT_BENCH_TRANSFERBENCH_SERVERS_H_
