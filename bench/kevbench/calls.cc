// SPDX-License-Identifier: MIT

#include "bench/kevbench/calls.h"

#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace kevbench {
namespace {

constexpr const char* kTracing = "/sys/kernel/tracing";

int ReadTracepoint() {
  int id = 0;
  std::ifstream(std::string(kTracing) + "/events/raw_syscalls/sys_enter/id") >> id;
  return id;
}

// Where tracefs is not mounted, as in most containers, a child mounts it for
// itself alone and reads the number.
int ReadTracepointInNamespace() {
  int ends[2];
  if (pipe(ends) != 0) return 0;
  const pid_t child = fork();
  if (child == 0) {
    int id = 0;
    if (unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount("tracefs", kTracing, "tracefs", 0, nullptr) == 0) {
      id = ReadTracepoint();
    }
    _exit(write(ends[1], &id, sizeof id) == sizeof id ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  close(ends[1]);
  int id = 0;
  if (child == -1 || read(ends[0], &id, sizeof id) != sizeof id) id = 0;
  close(ends[0]);
  if (child != -1) waitpid(child, nullptr, 0);
  return id;
}

int Tracepoint() {
  static const int kId = [] {
    const int id = ReadTracepoint();
    return id != 0 ? id : ReadTracepointInNamespace();
  }();
  return kId;
}

}  // namespace

CallCounter::CallCounter() {
  if (Tracepoint() == 0) return;
  perf_event_attr attributes = {};
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.size = sizeof attributes;
  attributes.config = static_cast<uint64_t>(Tracepoint());
  attributes.inherit = 1;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto fd = static_cast<int>(syscall(SYS_perf_event_open, &attributes,
                                             std::stoi(thread.path().filename().string()), -1, -1,
                                             PERF_FLAG_FD_CLOEXEC));
    if (fd != -1) fds_.push_back(fd);
  }
}

CallCounter::~CallCounter() {
  for (const int fd : fds_) close(fd);
}

std::optional<uint64_t> CallCounter::Count() const {
  const auto sum = Sum();
  return sum ? std::optional(*sum - before_) : std::nullopt;
}

std::optional<uint64_t> CallCounter::Sum() const {
  if (fds_.empty()) return std::nullopt;
  uint64_t sum = 0;
  for (const int fd : fds_) {
    uint64_t count;
    if (read(fd, &count, sizeof count) != sizeof count) return std::nullopt;
    sum += count;
  }
  return sum;
}

}  // namespace kevbench
