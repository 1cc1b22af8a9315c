// SPDX-License-Identifier: MIT
//
// kevrun: runs a program with libkevent preloaded; see the usage below.

#include <absl/flags/flag.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/observe/file.h"
#include "adapters/report/table.h"
#include "adapters/trace/rings.h"
#include "tools/kevrun/check.h"
#include "tools/kevrun/folder.h"
#include "tools/kevrun/output.h"
#include "tools/kevrun/preload.h"
#include "tools/kevrun/program.h"
#include "tools/kevrun/report.h"
#include "tools/kevrun/supervise.h"
#include "tools/kevrun/trace.h"
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

ABSL_FLAG(
    kevent::tools::OptionalText, report, {},
    "when the program has ended, say what its timers, asynchronous operations and queues have "
    "done: a table on the standard error, or in this file; as JSON if its name ends in .json");
ABSL_FLAG(
    std::string, report_of, "",
    "run nothing: print the report of the process of this number, which runs with --report or "
    "goes on after it, or of all processes of the kevrun of this number; with --report=FILE into "
    "the file");
ABSL_FLAG(std::string, trace, "",
          "write to this file when the program's timers were set, expired and were collected: JSON "
          "that ui.perfetto.dev and chrome://tracing open");

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
  if (absl::GetFlag(FLAGS_report).is_given) names.emplace_back("report");
  if (!absl::GetFlag(FLAGS_trace).empty()) names.emplace_back("trace");
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

using kevent::kevrun::Ended;
using kevent::kevrun::Output;

bool WantsReport() { return absl::GetFlag(FLAGS_report).is_given; }
bool WantsTrace() { return !absl::GetFlag(FLAGS_trace).empty(); }

Output OpenOutput(const std::string& file, std::FILE* otherwise, int status) {
  std::string why;
  auto output = Output::Open(file, otherwise, &why);
  if (!output) Fail(status, file, why);
  return std::move(*output);
}

std::unique_ptr<kevent::kevrun::Rendering> Render(const std::vector<pid_t>& without) {
  return Output::IsJson(absl::GetFlag(FLAGS_report).text) ? kevent::kevrun::RenderJson(without)
                                                          : kevent::kevrun::RenderTables(without);
}

bool WriteReport(Output& output, const std::string& folder, const Ended& ended) {
  const std::string prefix = kevent::report::kPrefix;
  const auto rendering = Render(kevent::kevrun::WithoutFile(folder, prefix));
  kevent::kevrun::AddReports(kevent::kevrun::ObservedIn(folder, prefix), ended, rendering.get());
  return output.Write(rendering->Text());
}

// What is told beside the trace.
void SayWhatLacks(const kevent::kevrun::Dropped& dropped, const std::vector<pid_t>& without) {
  if (dropped.oldest != 0) {
    std::fprintf(stderr, "kevrun: the trace lacks the oldest %ju records, for want of room\n",
                 static_cast<uintmax_t>(dropped.oldest));
  }
  if (dropped.without_ring != 0) {
    std::fprintf(stderr,
                 "kevrun: the trace lacks %ju records of threads that found no ring, as %zu have "
                 "one at a time: %s%s\n",
                 static_cast<uintmax_t>(dropped.without_ring), kevent::trace::kRings - 1,
                 absl::StrJoin(dropped.threads, ", ").c_str(),
                 dropped.threads.size() < kevent::trace::kNamedThreads ? "" : " and maybe others");
  }
  for (const pid_t pid : without) {
    std::fprintf(
        stderr,
        "kevrun: the trace lacks process %d: no file could be made, for want of room or by "
        "RLIMIT_FSIZE\n",
        static_cast<int>(pid));
  }
}

bool WriteTrace(Output& output, const std::string& folder, const Ended& ended) {
  const std::string prefix = kevent::trace::kPrefix;
  const auto without = kevent::kevrun::WithoutFile(folder, prefix);
  kevent::kevrun::Dropped dropped;
  const bool is_written = output.Write(kevent::kevrun::TraceJson(
      kevent::kevrun::ObservedIn(folder, prefix), without, ended, &dropped));
  SayWhatLacks(dropped, without);
  return is_written;
}

// Runs the program in a child, and says in the end what was seen.
[[noreturn]] void Observe(const std::function<void()>& execute) {
  Output output =
      OpenOutput(WantsTrace() ? absl::GetFlag(FLAGS_trace) : absl::GetFlag(FLAGS_report).text,
                 stderr, kCannotPreload);
  std::string why;
  const std::string folder = kevent::kevrun::MakeRunFolder(&why);
  if (folder.empty()) Fail(kCannotPreload, "no folder for what is seen", why);
  if (setenv(kevent::observe::kFolderVariable, folder.c_str(), 1) != 0) {
    Fail(kCannotPreload, "the environment", std::strerror(errno));
  }
  const int lock = kevent::kevrun::LockFolder(folder);
  const Ended ended = kevent::kevrun::RunAndWait(execute);
  const bool is_written =
      WantsTrace() ? WriteTrace(output, folder, ended) : WriteReport(output, folder, ended);
  if (lock >= 0) close(lock);
  kevent::kevrun::RemoveUnused(folder);
  if (!is_written && ended.status == 0) std::exit(kCannotPreload);
  kevent::kevrun::EndAs(ended.status);
}

// What is in the file that the report goes to stays where there is none.
int ReportOf(pid_t pid) {
  const auto rendering = Render({});
  const auto files = kevent::kevrun::ObservedOf(pid, kevent::report::kPrefix);
  if (kevent::kevrun::AddReports(files, {}, rendering.get()) == 0) {
    Fail(EXIT_FAILURE, absl::StrCat("process ", pid),
         "it does not run with --report by this user and with the same XDG_RUNTIME_DIR, or has "
         "made nothing yet to report of");
  }
  Output output = OpenOutput(absl::GetFlag(FLAGS_report).text, stdout, EXIT_FAILURE);
  return output.Write(rendering->Text()) ? EXIT_SUCCESS : EXIT_FAILURE;
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
  // execvp runs a file without a first line by the shell.
  const auto execute = [&] {
    execvp(program.path.c_str(), command);
    Fail(kCannotRun, program.path, std::strerror(errno));
  };
  if (WantsReport() || WantsTrace()) Observe(execute);
  execute();
  std::abort();
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
  const std::string of = absl::GetFlag(FLAGS_report_of);
  if (!of.empty()) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(of, &pid)) kevent::tools::Misused("--report-of takes a process number");
    if (first < argc) kevent::tools::Misused("--report-of takes no command");
    return ReportOf(pid);
  }
  if (WantsReport() && WantsTrace()) {
    kevent::tools::Misused("--report and --trace are not used together");
  }
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
