// SPDX-License-Identifier: MIT

#include "adapters/observe/file.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/auxv.h>
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

// Tells kevrun that this process may use the folder.
void MapInUse() {
  char path[PATH_MAX + sizeof kInUse + 1];
  std::snprintf(path, sizeof path, "%s/%s", g_folder, kInUse);
  const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  [[maybe_unused]] void* const mapping = mmap(nullptr, 1, PROT_NONE, MAP_SHARED, fd, 0);
  close(fd);
}

__attribute__((constructor)) void LookEarly() {
  const int before = errno;
  LookForFolder();
  if (g_folder[0] != '\0') MapInUse();
  errno = before;
}

// A file beyond the limit of the process would have it ended by SIGXFSZ.
bool MayBeAsLong(size_t size) {
  rlimit limit = {};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= size;
}

struct Path {
  Path(const char* prefix, const char* behind, uint32_t program) {
    std::snprintf(text, sizeof text, "%s/%s%s.%d.%u", g_folder, prefix, behind, getpid(), program);
  }
  char text[PATH_MAX + 64];
};

// *program becomes the number in the file's name.
int OpenNewFile(const char* prefix, uint32_t* program) {
  for (*program = 0; *program < 1000; ++*program) {
    const Path path(prefix, "", *program);
    const int fd = open(path.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

// What the kernel wipes in the child of a fork.
struct ProcessFile {
  std::atomic<FileHeader*> file;
  std::atomic<bool> has_failed;
};

ProcessFile* FileOfProcess() {
  static constinit std::atomic<ProcessFile*> place{nullptr};
  ProcessFile* found = place.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  void* const page = mmap(nullptr, sizeof(ProcessFile), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (madvise(page, sizeof(ProcessFile), MADV_WIPEONFORK) != 0) {
    munmap(page, sizeof(ProcessFile));
    return nullptr;
  }
  auto* const made = static_cast<ProcessFile*>(page);
  if (place.compare_exchange_strong(found, made)) return made;
  munmap(page, sizeof(ProcessFile));
  return found;
}

// The process goes without a file from now on: the next calls try no more.
void GoWithout(const char* prefix) {
  if (ProcessFile* const process = FileOfProcess(); process != nullptr) process->has_failed = true;
  const Path path(prefix, kWithout, 0);
  const int fd = open(path.text, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0) close(fd);
}

bool Populate(const void* begin, size_t size) {
  const uintptr_t page = getauxval(AT_PAGESZ);
  const auto first = reinterpret_cast<uintptr_t>(begin) & ~(page - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + size + page - 1) & ~(page - 1);
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

uint64_t NanosecondsOf(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

FileHeader* MapNewFile(const char* prefix, size_t size, uint32_t version) {
  LookForFolder();
  if (g_folder[0] == '\0') return nullptr;
  const int before = errno;
  const ProcessFile* const process = FileOfProcess();
  if (process != nullptr && process->has_failed) return nullptr;
  FileHeader* file = nullptr;
  uint32_t program = 0;
  const int fd = MayBeAsLong(size) ? OpenNewFile(prefix, &program) : -1;
  if (fd >= 0) {
    file = static_cast<FileHeader*>(MapFile(fd, size));
    close(fd);
    if (file == nullptr) unlink(Path(prefix, "", program).text);
  }
  if (file == nullptr) {
    GoWithout(prefix);
  } else {
    file->version = version;
    file->pid = static_cast<uint32_t>(getpid());
    file->parent = static_cast<uint32_t>(getppid());
    file->number = program;
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

void Discard(FileHeader* file, const char* prefix, Reason reason) {
  const int before = errno;
  unlink(Path(prefix, "", file->number).text);
  munmap(file, file->size);
  if (reason == Reason::kNoMemory) GoWithout(prefix);
  errno = before;
}

// Threads that have made a file each at the same time leave gaps in the numbers.
void EndEarlier(const char* prefix) {
  constexpr uint32_t kMostMissing = 64;
  LookForFolder();
  if (g_folder[0] == '\0') return;
  const int before = errno;
  const uint64_t now = NanosecondsOf(CLOCK_MONOTONIC);
  uint32_t missing = 0;
  for (uint32_t program = 0; missing < kMostMissing; ++program) {
    const int fd = open(Path(prefix, "", program).text, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
      ++missing;
      continue;
    }
    missing = 0;
    FileHeader header = {};
    const bool is_open = pread(fd, &header, sizeof header, 0) == sizeof header &&
                         header.ended == 0 && header.started == StartOf(getpid());
    if (is_open) {
      [[maybe_unused]] const ssize_t written =
          pwrite(fd, &now, sizeof now, offsetof(FileHeader, ended));
    }
    close(fd);
  }
  errno = before;
}

bool HaveMemory(const void* begin, size_t size) {
  const int before = errno;
  const bool has = Populate(begin, size) || errno == EINVAL;
  errno = before;
  return has;
}

std::atomic<FileHeader*>* FilePlace() {
  ProcessFile* const process = FileOfProcess();
  return process == nullptr ? nullptr : &process->file;
}

}  // namespace kevent::observe
