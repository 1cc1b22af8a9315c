// SPDX-License-Identifier: MIT
//
// kevrun: runs a program with libkevent preloaded; see the usage below.

#include <absl/flags/flag.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tools/kevrun/check.h"
#include "tools/kevrun/preload.h"
#include "tools/kevrun/program.h"
#include "tools/support/command_line.h"

ABSL_FLAG(bool, aio, false,
          "have the POSIX asynchronous I/O of descriptors that are only read, or have O_DIRECT, "
          "done by libkevent's engine, with whatever notification the program asks for");
ABSL_FLAG(bool, check, false,
          "do not run the program: say whether libkevent reaches it, which functions it calls, "
          "and what the system lacks; status 0 if it is reached, else 1");
ABSL_FLAG(std::string, library, "",
          "preload this file; otherwise the library beside kevrun, the installed one, or the one "
          "that the loader finds");
ABSL_FLAG(bool, threads, false,
          "make the program's SIGEV_THREAD callbacks on threads that are used again, instead of a "
          "new one for each");

namespace {

using kevent::kevrun::Program;

// Those of env(1) and other commands that run one.
constexpr int kCannotPreload = 125;
constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;

[[noreturn]] void Fail(int status, const std::string& what, const std::string& why) {
  std::fprintf(stderr, "kevrun: %s: %s\n", what.c_str(), why.c_str());
  std::exit(status);
}

int StatusOf(Program::Obstacle obstacle) {
  switch (obstacle) {
    case Program::Obstacle::kNotFound:
      return kNotFound;
    case Program::Obstacle::kNotExecutable:
      return kCannotRun;
    default:
      return kCannotPreload;
  }
}

// The adapters that options ask for, in the order of LD_PRELOAD: each calls those behind it.
std::vector<std::string> Adapters() {
  std::vector<std::string> names;
  if (absl::GetFlag(FLAGS_threads)) names.emplace_back("threads");
  if (absl::GetFlag(FLAGS_aio)) names.emplace_back("aio");
  return names;
}

// What is put into LD_PRELOAD.
std::vector<std::string> Objects(const std::string& library) {
  std::vector<std::string> objects;
  for (const std::string& name : Adapters()) {
    std::string why;
    objects.push_back(kevent::kevrun::FindAdapter(name, library, &why));
    if (objects.back().empty()) Fail(kCannotPreload, "no adapter", why);
  }
  objects.push_back(library);
  return objects;
}

[[noreturn]] void Run(char** command, const std::string& library) {
  const Program program = kevent::kevrun::LookAt(command[0]);
  if (program.obstacle != Program::Obstacle::kNone) {
    Fail(StatusOf(program.obstacle), command[0], program.why);
  }
  const char* const before = std::getenv("LD_PRELOAD");
  const std::string preload =
      kevent::kevrun::WithObjects(Objects(library), kevent::kevrun::SanitizerOf(program.elf.needed),
                                  before == nullptr ? "" : before);
  if (setenv("LD_PRELOAD", preload.c_str(), 1) != 0) {
    Fail(kCannotPreload, "LD_PRELOAD", std::strerror(errno));
  }
  execvp(program.path.c_str(), command);  // which runs a file without a first line by the shell
  Fail(kCannotRun, program.path, std::strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  const int first = kevent::tools::ParseLeadingOptions(
      argc, argv, "COMMAND [ARGUMENT...]",
      "Runs a program in the place of kevrun, with libkevent in front of the C library "
      "(LD_PRELOAD,\n"
      "beside what is there): so a program that nobody compiles anew has its POSIX timers served\n"
      "by it.  Ends with the program's status; with 125 if libkevent cannot be put into it, 126 "
      "if\n"
      "it cannot be run, 127 if it is not found.");
  if (first == argc) kevent::tools::Misused("no command is given");
  std::string why;
  const std::string library = kevent::kevrun::FindLibrary(absl::GetFlag(FLAGS_library), &why);
  if (library.empty()) Fail(kCannotPreload, "no library", why);
  if (absl::GetFlag(FLAGS_check)) {
    if (argc - first > 1) kevent::tools::Misused("--check takes one program");
    return kevent::kevrun::Check(argv[first], Objects(library)) ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  Run(argv + first, library);
}
