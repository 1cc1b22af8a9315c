// SPDX-License-Identifier: MIT

#include "tools/kevrun/json.h"

#include <absl/strings/str_format.h>

namespace kevent::kevrun {
namespace {

// The bytes of the character of UTF-8 that begins here; 0: none does.
size_t LengthOfCharacter(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80                      ? 1
                        : byte(0) >= 0xc2 && byte(0) < 0xe0 ? 2
                        : byte(0) >= 0xe0 && byte(0) < 0xf0 ? 3
                        : byte(0) >= 0xf0 && byte(0) < 0xf5 ? 4
                                                            : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string JsonString(absl::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    const size_t length = LengthOfCharacter(text);
    if (length == 0 || first < 0x20) {
      absl::StrAppendFormat(&json, "\\u%04x", first);
    } else if (first == '"' || first == '\\') {
      absl::StrAppend(&json, "\\", text.substr(0, 1));
    } else {
      absl::StrAppend(&json, text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return json + "\"";
}

}  // namespace kevent::kevrun
