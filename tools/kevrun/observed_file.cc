// SPDX-License-Identifier: MIT

#include "tools/kevrun/observed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kevent::kevrun {
namespace {

bool ReadFrom(int fd, char* to, off_t begin, off_t end) {
  while (begin < end) {
    const ssize_t length = pread(fd, to + begin, static_cast<size_t>(end - begin), begin);
    if (length <= 0) return false;
    begin += length;
  }
  return true;
}

// lseek(2): ENXIO says that there are no more data.
bool ReadData(int fd, char* to, off_t size) {
  for (off_t at = 0; at < size;) {
    const off_t begin = lseek(fd, at, SEEK_DATA);
    if (begin < 0) return errno == ENXIO;
    const off_t end = lseek(fd, begin, SEEK_HOLE);
    if (end < 0 || !ReadFrom(fd, to, begin, std::min(end, size))) return false;
    at = end;
  }
  return true;
}

bool IsAsLong(int fd, size_t size) {
  struct stat status = {};
  return fstat(fd, &status) == 0 && static_cast<size_t>(status.st_size) >= size;
}

}  // namespace

void Unmap::operator()(void* memory) const { munmap(memory, size); }

std::unique_ptr<void, Unmap> CopyData(const std::string& path, size_t size, std::string* why) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    *why = path + ": " + std::strerror(errno);
    return nullptr;
  }
  std::unique_ptr<void, Unmap> data;
  if (!IsAsLong(fd, size)) {
    *why = path + " is too short";
  } else {
    void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) data = {memory, Unmap{size}};
    if (data == nullptr || !ReadData(fd, static_cast<char*>(memory), static_cast<off_t>(size))) {
      *why = path + ": " + std::strerror(errno);
      data.reset();
    }
  }
  close(fd);
  return data;
}

}  // namespace kevent::kevrun
