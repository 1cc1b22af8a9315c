// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_SYSTEM_THREAD_NAME_H_
#define KEVENT_CORE_SYSTEM_THREAD_NAME_H_

#include <cstddef>

namespace kevent::sys {

constexpr size_t kThreadName = 16;  // Linux: TASK_COMM_LEN

// The name of the thread of the program that has made the calling thread of the library's own; ""
// in any other thread.
const char* MakersName();

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_THREAD_NAME_H_
