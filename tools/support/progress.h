// SPDX-License-Identifier: MIT
//
// How far a tool is, for whoever looks at a terminal.

#pragma once

#include <unistd.h>

#include <cstdarg>
#include <cstdio>

namespace kevent::tools {

// A line on the standard error that the next call overwrites, and that nothing is left of
// in the end.  Where that is no terminal nothing is printed: there it would only be in the way.
class Progress {
 public:
  Progress() = default;
  ~Progress() { Show("%s", ""); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  [[gnu::format(printf, 2, 3)]] void Show(const char* format, ...) const {
    if (!terminal_) return;
    std::fputs("\r\033[K", stderr);
    va_list values;
    va_start(values, format);
    std::vfprintf(stderr, format, values);
    va_end(values);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
};

}  // namespace kevent::tools
