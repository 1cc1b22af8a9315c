// SPDX-License-Identifier: MIT

#include "tools/kevrun/output.h"

#include <absl/strings/match.h>

#include <cerrno>
#include <cstring>

namespace kevent::kevrun {

void Output::Close::operator()(std::FILE* stream) const {
  if (stream != stderr && stream != stdout) std::fclose(stream);
}

std::optional<Output> Output::Open(const std::string& file, std::FILE* otherwise,
                                   std::string* why) {
  if (file.empty()) return Output("the report", otherwise);
  std::FILE* const stream = std::fopen(file.c_str(), "we");
  if (stream != nullptr) return Output(file, stream);
  *why = std::strerror(errno);
  return std::nullopt;
}

// Some file systems tell only when the file is closed.
bool Output::Write(const std::string& text) {
  bool is_written = std::fputs(text.c_str(), stream_.get()) >= 0 && std::fflush(stream_.get()) == 0;
  std::FILE* const stream = stream_.release();
  const bool is_own = stream != stderr && stream != stdout;
  if (is_own && std::fclose(stream) != 0) is_written = false;
  if (!is_written) std::fprintf(stderr, "kevrun: %s: %s\n", name_.c_str(), std::strerror(errno));
  return is_written;
}

bool Output::IsJson(const std::string& file) { return absl::EndsWith(file, ".json"); }

}  // namespace kevent::kevrun
