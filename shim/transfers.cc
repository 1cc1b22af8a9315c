// SPDX-License-Identifier: MIT
//
// Transfers on sockets: the calls of 2006 under the library's own names alone.

#include "core/calls/transfer_calls.h"
#include "shim/edge.h"

using kevent::shim::Finish;
namespace core = kevent::core;

namespace {

kevent_transfer OfBuffer(unsigned operation, int socket, void* buffer, size_t size,
                         unsigned flags) {
  kevent_transfer transfer = {};
  transfer.operation = operation;
  transfer.socket = socket;
  transfer.flags = flags;
  transfer.buffer = buffer;
  transfer.size = size;
  transfer.cookie = buffer;
  return transfer;
}

kevent_transfer OfFile(unsigned operation, int socket, off_t offset, size_t count) {
  kevent_transfer transfer = {};
  transfer.operation = operation;
  transfer.socket = socket;
  transfer.offset = offset;
  transfer.size = count;
  return transfer;
}

}  // namespace

KEVENT_EXPORT int kevent_aio_recv(int kev_fd, int sock_fd, void* buf, size_t size,
                                  unsigned flags) noexcept {
  return Finish(core::BeginTransfer(kev_fd, OfBuffer(KEVENT_NAIO_RECV, sock_fd, buf, size, flags)));
}

KEVENT_EXPORT int kevent_aio_send(int kev_fd, int sock_fd, const void* buf, size_t size,
                                  unsigned flags) noexcept {
  return Finish(core::BeginTransfer(
      kev_fd, OfBuffer(KEVENT_NAIO_SEND, sock_fd, const_cast<void*>(buf), size, flags)));
}

KEVENT_EXPORT long kevent_aio_sendfile(int kev_fd, int sock_fd, int in_fd, off_t offset,
                                       size_t count) noexcept {
  kevent_transfer transfer = OfFile(KEVENT_NAIO_SENDFILE, sock_fd, offset, count);
  transfer.file = in_fd;
  return Finish(core::BeginTransfer(kev_fd, transfer));
}

KEVENT_EXPORT long kevent_aio_sendfile_path(int kev_fd, int sock_fd, const char* path, off_t offset,
                                            size_t count) noexcept {
  kevent_transfer transfer = OfFile(KEVENT_NAIO_SENDFILE_PATH, sock_fd, offset, count);
  transfer.path = path;
  transfer.cookie = const_cast<char*>(path);
  return Finish(core::BeginTransfer(kev_fd, transfer));
}

KEVENT_EXPORT int kevent_transfers(int kev_fd, unsigned num, kevent_transfer* transfers) noexcept {
  return Finish(core::BeginTransfers(kev_fd, num, transfers));
}

KEVENT_EXPORT int kevent_cancel_transfers(int kev_fd, int sock_fd, void* const* cookie) noexcept {
  return Finish(core::CancelTransfers(kev_fd, sock_fd, cookie));
}
