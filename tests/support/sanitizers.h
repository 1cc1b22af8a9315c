// SPDX-License-Identifier: MIT
//
// Which sanitizer a test is built with.

#ifndef KEVENT_TESTS_SUPPORT_SANITIZERS_H_
#define KEVENT_TESTS_SUPPORT_SANITIZERS_H_

namespace kevent_test {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_SANITIZERS_H_
