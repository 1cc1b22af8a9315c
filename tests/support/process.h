// SPDX-License-Identifier: MIT
//
// What a process has, and children of it.

#ifndef KEVENT_TESTS_SUPPORT_PROCESS_H_
#define KEVENT_TESTS_SUPPORT_PROCESS_H_

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

namespace kevent_test {

inline std::set<int> NumbersIn(const char* directory) {
  std::set<int> numbers;
  DIR* entries = opendir(directory);
  if (entries == nullptr) return numbers;
  const int own = dirfd(entries);
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_name[0] != '.') numbers.insert(std::atoi(entry->d_name));
  }
  closedir(entries);
  if (std::string(directory) == "/proc/self/fd") numbers.erase(own);
  return numbers;
}

inline std::set<int> OpenDescriptors() { return NumbersIn("/proc/self/fd"); }
inline size_t ThreadCount() { return NumbersIn("/proc/self/task").size(); }

// The exit status of a child, or 128 + the signal that ended it.
inline int ExitStatus(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// In a child, where GoogleTest cannot report: says what does not hold and ends
// the process.
#define CHILD_CHECK(condition)                                                               \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      dprintf(STDERR_FILENO, "%s:%d: in the child: not %s (errno %d)\n", __FILE__, __LINE__, \
              #condition, errno);                                                            \
      _exit(1);                                                                              \
    }                                                                                        \
  } while (false)

// Runs `body` in a child made by `fork_function`, fork or _Fork, and expects it
// to return.
template <typename Body>
void ExpectChild(Body body, pid_t (*fork_function)() = fork) {
  const pid_t child = fork_function();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    _exit(0);
  }
  EXPECT_EQ(ExitStatus(child), 0);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_PROCESS_H_
