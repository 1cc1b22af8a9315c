// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_THREAD_NAME_H_
#define KEVENT_CORE_SYSTEM_THREAD_NAME_H_

#include <cstddef>

namespace kevent::sys {

constexpr size_t kThreadName = 16;  // Linux: TASK_COMM_LEN

// The one thread of a process that makes threads for the library which notify (SIGEV_THREAD).
inline constexpr char kTellingThread[] = "kevent-tell";

// In that thread the name of the thread of the program that has made it, in any other "".  Not in
// thread-local storage, of which a library that is loaded late has little.
const char* MakersName();

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_THREAD_NAME_H_
