// SPDX-License-Identifier: MIT
//
// JSON objects, written as RFC 8259 has them.

#pragma once

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace kevent::kevrun {

// In quotation marks.  Bytes beyond ASCII are taken for UTF-8 if they are that, and for Latin-1 if
// not, as a path may be anything.
std::string JsonString(absl::string_view text);

class JsonObject {
 public:
  JsonObject& AddText(absl::string_view name, absl::string_view json) {
    absl::StrAppend(&text_, text_.empty() ? "" : ",", JsonString(name), ":", json);
    return *this;
  }
  JsonObject& Add(absl::string_view name, absl::string_view value) {
    return AddText(name, JsonString(value));
  }
  JsonObject& Add(absl::string_view name, const char* value) {
    return Add(name, absl::string_view(value));
  }
  JsonObject& Add(absl::string_view name, const std::string& value) {
    return Add(name, absl::string_view(value));
  }
  JsonObject& Add(absl::string_view name, bool value) {
    return AddText(name, value ? "true" : "false");
  }
  JsonObject& Add(absl::string_view name, uint64_t value) {
    return AddText(name, absl::StrCat(value));
  }
  JsonObject& Add(absl::string_view name, int64_t value) {
    return AddText(name, absl::StrCat(value));
  }
  JsonObject& Add(absl::string_view name, const std::atomic<uint64_t>& value) {
    return Add(name, value.load());
  }

  std::string Text() const { return absl::StrCat("{", text_, "}"); }

 private:
  std::string text_;
};

}  // namespace kevent::kevrun
