// SPDX-License-Identifier: MIT
//
// When signal handlers run.

#ifndef KEVENT_TESTS_SUPPORT_HANDLERS_H_
#define KEVENT_TESTS_SUPPORT_HANDLERS_H_

namespace kevent_test {

// ThreadSanitizer keeps a signal until a function that it intercepts returns, and runs the handler
// there, although the signal may have been blocked since by a system call, which it does not see: a
// handler then meets a lock that its own thread has just taken.
#if defined(__SANITIZE_THREAD__)
constexpr bool kHandlersRunWhileBlocked = true;
#else
constexpr bool kHandlersRunWhileBlocked = false;
#endif

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_HANDLERS_H_
