// SPDX-License-Identifier: MIT

#include <absl/strings/str_cat.h>
#include <unistd.h>

#include <cstdio>

#include "bench/kevbench/workload.h"

namespace kevbench {

absl::StatusOr<std::string> LineOfOwnProcess(absl::string_view option, const WayInfo& info,
                                             size_t count, Pace pace) {
  const absl::string_view how = pace == Pace::kSmoke   ? " --smoke"
                                : pace == Pace::kQuick ? " --quick"
                                                       : "";
  const std::string command = absl::StrCat("exec /proc/", getpid(), "/exe --", option, "=",
                                           info.name, " --timers=", count, how);
  FILE* const child = popen(command.c_str(), "re");
  Check(child != nullptr, "popen");
  std::string line;
  for (int c = fgetc(child); c != EOF && c != '\n'; c = fgetc(child)) {
    line.push_back(static_cast<char>(c));
  }
  if (pclose(child) != 0) return absl::InternalError("a process of the benchmark's failed");
  return line;
}

}  // namespace kevbench
