// SPDX-License-Identifier: MIT

#include "adapters/observe/file.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace kevent::observe {
namespace {

// The folder's name as it was when the process began: the program may change its environment.
constinit char g_folder[PATH_MAX] = "";
constinit std::atomic<bool> g_has_looked{false};

void LookForFolder() {
  if (g_has_looked.exchange(true)) return;
  const char* const named = secure_getenv(kFolderVariable);
  if (named == nullptr || named[0] != '/') return;
  const size_t length = std::strlen(named);
  if (length < sizeof g_folder) std::memcpy(g_folder, named, length + 1);
}

__attribute__((constructor)) void LookEarly() { LookForFolder(); }

uint64_t NanosecondsOf(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A file beyond the limit of the process would have it ended by SIGXFSZ.
bool MayBeAsLong(size_t size) {
  rlimit limit = {};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= size;
}

int OpenNewFile(const char* prefix) {
  char path[PATH_MAX + 64];
  for (int program = 0; program < 1000; ++program) {
    std::snprintf(path, sizeof path, "%s/%s.%d.%d", g_folder, prefix, getpid(), program);
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

bool Populate(const void* begin, size_t size) {
  constexpr uintptr_t kPage = 4096;
  const auto first = reinterpret_cast<uintptr_t>(begin) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + size + kPage - 1) & ~(kPage - 1);
  return madvise(reinterpret_cast<void*>(first), end - first, MADV_POPULATE_WRITE) == 0;
}

// A kernel that does not know MADV_POPULATE_WRITE gives all the memory at once.
void* MapFile(int fd, size_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return nullptr;
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (Populate(memory, sizeof(FileHeader))) return memory;
  if (errno == EINVAL && posix_fallocate(fd, 0, static_cast<off_t>(size)) == 0) return memory;
  munmap(memory, size);
  return nullptr;
}

}  // namespace

FileHeader* MapNewFile(const char* prefix, size_t size, uint32_t version) {
  LookForFolder();
  const int before = errno;
  FileHeader* file = nullptr;
  if (g_folder[0] != '\0' && MayBeAsLong(size)) {
    const int fd = OpenNewFile(prefix);
    if (fd >= 0) {
      file = static_cast<FileHeader*>(MapFile(fd, size));
      close(fd);
    }
  }
  if (file != nullptr) {
    file->version = version;
    file->pid = static_cast<uint32_t>(getpid());
    file->parent = static_cast<uint32_t>(getppid());
    file->size = size;
    file->started = StartOf(getpid());
    file->began = NanosecondsOf(CLOCK_MONOTONIC);
    file->began_real = NanosecondsOf(CLOCK_REALTIME);
    const ssize_t length = readlink("/proc/self/exe", file->program, sizeof file->program - 1);
    if (length < 0) file->program[0] = '\0';
  }
  errno = before;
  return file;
}

void Publish(FileHeader* file, uint64_t magic) {
  __atomic_store_n(&file->magic, magic, __ATOMIC_RELEASE);
}

bool HaveMemory(const void* begin, size_t size) {
  const int before = errno;
  const bool has = Populate(begin, size) || errno == EINVAL;
  errno = before;
  return has;
}

std::atomic<FileHeader*>* FilePlace() {
  static constinit std::atomic<std::atomic<FileHeader*>*> place{nullptr};
  std::atomic<FileHeader*>* found = place.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  constexpr size_t kPage = 4096;
  void* const page =
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (madvise(page, kPage, MADV_WIPEONFORK) != 0) {
    munmap(page, kPage);
    return nullptr;
  }
  auto* const made = static_cast<std::atomic<FileHeader*>*>(page);
  if (place.compare_exchange_strong(found, made)) return made;
  munmap(page, kPage);
  return found;
}

}  // namespace kevent::observe
