// SPDX-License-Identifier: MIT
//
// How long /bin/true takes, from spawn to wait, with libkevent preloaded and with a
// shared object that contains nothing, one after the other.

#include <dlfcn.h>
#include <kevent/kevent.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <filesystem>

#include "bench/kevbench/results.h"
#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

// Negative if it did not exit well.
Nanoseconds TimeTrue(const std::string& object) {
  std::string preload = "LD_PRELOAD=" + object;
  std::string program = "/bin/true";
  const std::array<char*, 2> arguments = {program.data(), nullptr};
  const std::array<char*, 2> environment = {preload.data(), nullptr};
  pid_t child;
  int status;
  const Nanoseconds before = Now();
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(),
                  environment.data()) != 0 ||
      waitpid(child, &status, 0) != child) {
    return -1;
  }
  const Nanoseconds after = Now();
  return status == 0 ? after - before : -1;
}

}  // namespace

absl::StatusOr<Metrics> RunStart(const WayInfo& info, size_t /*count*/, Pace pace) {
  if (info.kind != Kind::kLibkevent) return absl::UnimplementedError("");
  Dl_info library;
  Check(dladdr(reinterpret_cast<void*>(&kevent_init), &library) != 0, "dladdr");
  const std::string ours = library.dli_fname;
  const std::string empty =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "kevbench_empty.so";
  if (!std::filesystem::exists(empty)) return absl::InternalError(empty + " is not there");
  std::vector<double> with;
  std::vector<double> without;
  for (int i = pace == Pace::kSmoke ? 2 : 100; i > 0; --i) {
    for (const bool is_ours : {i % 2 == 0, i % 2 != 0}) {
      const Nanoseconds time = TimeTrue(is_ours ? ours : empty);
      if (time < 0) return absl::InternalError("/bin/true failed");
      (is_ours ? with : without).push_back(static_cast<double>(time));
    }
  }
  const double preloaded = MedianOf(with);
  const double nothing = MedianOf(without);
  return Metrics{{"preloaded", preloaded}, {"empty", nothing}, {"more", preloaded - nothing}};
}

}  // namespace kevbench
