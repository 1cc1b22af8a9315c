// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_NUMBER_TEXT_H_
#define KEVENT_CORE_BASE_NUMBER_TEXT_H_

#include <cstring>

namespace kevent::sys {

// Appends a number that is not negative to a text that has room for it.  Async-signal-safe.
inline void AppendNumber(char* text, int number) {
  char digits[12];
  int length = 0;
  do {
    digits[length++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  size_t end = std::strlen(text);
  while (length > 0) text[end++] = digits[--length];
  text[end] = '\0';
}

}  // namespace kevent::sys

#endif  // KEVENT_CORE_BASE_NUMBER_TEXT_H_
