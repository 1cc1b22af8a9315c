// SPDX-License-Identifier: MIT
//
// Of the adapters and of kevrun: system calls alone.

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "adapters/observe/file.h"

namespace kevent::observe {
namespace {

// The fields after the name of the program begin with the third; the name may have anything in it
// but ends at the last parenthesis.
constexpr int kFieldsBefore = 3;
constexpr int kStartField = 22;

}  // namespace

uint64_t StartOf(int pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[1024];
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* at = std::strrchr(text, ')');
  if (at == nullptr || at[1] != ' ') return 0;
  at += 2;
  if (*at == 'Z') return 0;  // it has ended, and waits for its parent
  for (int field = kFieldsBefore; field < kStartField; ++field) {
    at = std::strchr(at, ' ');
    if (at == nullptr) return 0;
    ++at;
  }
  uint64_t start = 0;
  std::from_chars(at, text + length, start);
  return start;
}

}  // namespace kevent::observe
