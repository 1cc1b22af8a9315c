// SPDX-License-Identifier: MIT
//
// The seam on Linux: transfers on sockets, and what is known of the files that are sent.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/system/broken_pipe.h"
#include "core/system/system.h"
#include "core/system/system_call.h"

namespace kevent::sys {

int SocketType(int fd) {
  int type = 0;
  socklen_t bytes = sizeof type;
  const int error = CallInt(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
  return error < 0 ? error : type;
}

int64_t ReceiveAtOnce(int socket, void* buffer, size_t bytes, int flags) {
  int64_t result;
  do {
    result = Call(SYS_recvfrom, socket, buffer, bytes, flags | MSG_DONTWAIT, nullptr, nullptr);
  } while (result == -EINTR);
  return result;
}

int64_t SendAtOnce(int socket, const void* buffer, size_t bytes, int flags) {
  int64_t result;
  do {
    result =
        Call(SYS_sendto, socket, buffer, bytes, flags | MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
  } while (result == -EINTR);
  return result;
}

bool HasEndedForReceipts(int socket) {
  pollfd asked = {socket, POLLRDHUP, 0};
  const timespec at_once = {0, 0};
  return Call(SYS_ppoll, &asked, 1, &at_once, nullptr, 0) == 1 && (asked.revents & POLLRDHUP) != 0;
}

int64_t SendFileAtOnce(int socket, int file, int64_t offset, size_t bytes) {
  return WithoutBrokenPipe(bytes, [=] {
    int64_t result;
    off_t place = offset;
    do {
      result = Call(SYS_sendfile, socket, file, &place, bytes);
    } while (result == -EINTR);
    return result;
  });
}

// ---- What is in the page cache ----------------------------------------------------

namespace {

// The kernel tells of a file's pages only who may write to it or owns it, and tells others that all
// are there (mm/mincore.c, can_do_mincore).
bool IsToldTheTruth(int file, const struct stat& status) {
  const int flags = StatusFlags(file);
  return (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) || status.st_uid == geteuid();
}

// Asks by reading a byte of each page.
int64_t CachedByReading(int file, int64_t offset, size_t bytes, int64_t page) {
  char byte;
  const iovec where = {&byte, 1};
  int64_t at = offset;
  const int64_t end = offset + static_cast<int64_t>(bytes);
  while (at < end) {
    const long result = Call(SYS_preadv2, file, &where, 1, at, at >> 32, RWF_NOWAIT);
    if (result == 0) return static_cast<int64_t>(bytes);  // the file has ended
    if (result == -EAGAIN) break;
    if (result < 0) return at > offset ? at - offset : result;
    at = (at & ~(page - 1)) + page;
  }
  return std::min(at, end) - offset;
}

int64_t CachedByMapping(int file, int64_t offset, size_t bytes, int64_t page) {
  constexpr size_t kPages = 512;
  const int64_t first = offset & ~(page - 1);
  const auto before = static_cast<size_t>(offset - first);
  const size_t length = std::min(bytes + before, kPages * static_cast<size_t>(page));
  const long mapped = Call(SYS_mmap, nullptr, length, PROT_READ, MAP_SHARED, file, first);
  if (mapped < 0 && mapped > -4096) return mapped;
  unsigned char there[kPages];
  const long error = Call(SYS_mincore, mapped, length, there);
  Call(SYS_munmap, mapped, length);
  if (error < 0) return error;
  const size_t pages = (length + static_cast<size_t>(page) - 1) / static_cast<size_t>(page);
  size_t count = 0;
  while (count < pages && (there[count] & 1) != 0) ++count;
  const size_t cached = std::min(count * static_cast<size_t>(page), length);
  return cached <= before ? 0 : static_cast<int64_t>(cached - before);
}

}  // namespace

int64_t CachedBytes(int file, int64_t offset, size_t bytes) {
  struct stat status;
  {
    const ErrnoKept kept;
    if (fstat(file, &status) != 0) return -errno;
  }
  // Nothing has to be read beyond the end.
  if (S_ISREG(status.st_mode)) {
    if (offset >= status.st_size) return static_cast<int64_t>(bytes);
    const auto left = static_cast<size_t>(status.st_size - offset);
    if (left < bytes) {
      const int64_t cached = CachedBytes(file, offset, left);
      return cached == static_cast<int64_t>(left) ? static_cast<int64_t>(bytes) : cached;
    }
  }
  const int64_t page = getpagesize();
  if (IsToldTheTruth(file, status)) {
    const int64_t cached = CachedByMapping(file, offset, bytes, page);
    if (cached >= 0) return cached;  // no room for a mapping
  }
  return CachedByReading(file, offset, bytes, page);
}

uint64_t FileToSend(int fd, int* error) {
  struct stat status;
  const ErrnoKept kept;
  if (fstat(fd, &status) != 0) {
    *error = -errno;
    return 0;
  }
  *error = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ? 0 : -EINVAL;
  // Bits of all places, by the multiplication of SplitMix64.
  const uint64_t mixed = (status.st_dev ^ status.st_ino << 20) * 0xbf58476d1ce4e5b9;
  return (mixed ^ mixed >> 27) | 1;
}

int OpenFile(const char* path) {
  // A FIFO or a device would have open wait.
  const int fd = CallInt(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return fd;
  const int mode = FileMode(fd);
  if (mode >= 0 && (S_ISREG(mode) || S_ISBLK(mode))) return fd;
  Close(fd);
  return S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

}  // namespace kevent::sys
