// SPDX-License-Identifier: MIT
//
// Errors of <kevent/kevent.hpp>.  Each function that can fail has two forms, as in
// std::filesystem: one throws std::system_error, one sets a std::error_code and throws
// nothing.  The codes are errno values of std::system_category.  Where exceptions are
// switched off, the first form is an error of the compiler at its call.
#ifndef KEVENT_ERROR_HPP_
#define KEVENT_ERROR_HPP_

#include <kevent/kevent.h>
#include <pthread.h>

#include <cerrno>
#include <system_error>

namespace kevent::detail {

inline std::error_code error_of(int number) noexcept { return {number, std::system_category()}; }

// A call that has returned -1.
inline std::error_code last_error() noexcept { return error_of(errno); }

#ifdef __cpp_exceptions
[[noreturn, gnu::cold]] inline void fail(const std::error_code& error, const char* call) {
  throw std::system_error(error, call);
}
#else
[[noreturn, gnu::error("without exceptions, pass a std::error_code")]] void fail(
    const std::error_code& error, const char* call);
#endif

inline void check(const std::error_code& error, const char* call) {
  if (error) [[unlikely]] {
    fail(error, call);
  }
}

// A call that returns -1 and sets errno.
inline int check(int result, const char* call) {
  if (result == -1) [[unlikely]] {
    fail(last_error(), call);
  }
  return result;
}

inline int check(int result, std::error_code& error) noexcept {
  if (result == -1) [[unlikely]] {
    error = last_error();
  } else {
    error.clear();
  }
  return result;
}

// In destructors: a thread that is cancelled in one would end the process.
class NotCancelled {
 public:
  NotCancelled() noexcept { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old_); }
  ~NotCancelled() { pthread_setcancelstate(old_, nullptr); }
  NotCancelled(const NotCancelled&) = delete;
  NotCancelled& operator=(const NotCancelled&) = delete;

 private:
  int old_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace kevent::detail

#endif  // KEVENT_ERROR_HPP_
