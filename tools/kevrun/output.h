// SPDX-License-Identifier: MIT
//
// Where a report or a trace goes.

#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace kevent::kevrun {

class Output {
 public:
  // `otherwise` if no file is named.  The file is opened before the program runs: one that
  // cannot be written is an error then, and the program's change of directory is none.  *why says
  // so.
  static std::optional<Output> Open(const std::string& file, std::FILE* otherwise,
                                    std::string* why);

  // Once.  False if not all could be written, which is told to the standard error.
  bool Write(const std::string& text);

  // Whether the name of a file asks for JSON.
  static bool IsJson(const std::string& file);

 private:
  struct Close {
    void operator()(std::FILE* stream) const;
  };

  Output(std::string name, std::FILE* stream) : name_(std::move(name)), stream_(stream) {}

  std::string name_;
  std::unique_ptr<std::FILE, Close> stream_;
};

}  // namespace kevent::kevrun
