// SPDX-License-Identifier: MIT

#include "tools/kevrun/program.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace kevent::kevrun {
namespace {

using Obstacle = Program::Obstacle;

constexpr int kMostScripts = 4;  // BINPRM_MAX_RECURSION of Linux

void SetObstacle(Program* program, Obstacle obstacle, std::string why) {
  program->obstacle = obstacle;
  program->why = std::move(why);
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool IsFile(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// A command with a slash is a path; others are looked for along PATH.  Empty if there is none.
std::string FindCommand(const std::string& command) {
  if (absl::StrContains(command, '/')) return Exists(command) ? command : "";
  const char* const path = std::getenv("PATH");
  for (const absl::string_view directory :
       absl::StrSplit(path == nullptr ? "/bin:/usr/bin" : path, ':')) {
    std::string candidate = absl::StrCat(directory.empty() ? "." : directory, "/", command);
    if (IsFile(candidate) && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

// The words of a script's first line, or none.
std::vector<std::string> FirstLineOf(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || !absl::StartsWith(line, "#!")) return {};
  return absl::StrSplit(line.substr(2), absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

// The interpreter that a first line asks for: env(1) looks for the one that it is given.
std::string InterpreterOf(const std::vector<std::string>& line) {
  if (BaseName(line[0]) != "env") return FindCommand(line[0]);
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i][0] != '-' && !absl::StrContains(line[i], '=')) return FindCommand(line[i]);
  }
  return "";
}

const char* MachineName(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "i386";
    case EM_AARCH64:
      return "arm64";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    default:
      return "another processor";
  }
}

bool HasOldTimers(const ElfFile& elf) {
  return elf.machine == EM_X86_64 &&
         std::any_of(elf.imported.begin(), elf.imported.end(), [](const Symbol& symbol) {
           return symbol.name == "timer_create" && symbol.version == "GLIBC_2.2.5";
         });
}

// Says why a program runs with other rights than who starts it, or nothing: then the kernel sets
// AT_SECURE (security/commoncap.c, cap_bprm_creds_from_file).
std::string RightsOf(const std::string& binary) {
  struct stat status;
  struct statvfs system;
  if (stat(binary.c_str(), &status) != 0 || statvfs(binary.c_str(), &system) != 0) return "";
  const bool ignored = (system.f_flag & ST_NOSUID) != 0 || prctl(PR_GET_NO_NEW_PRIVS) == 1;
  if (ignored) return "";
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return "set-user-ID";
  const mode_t group = S_ISGID | S_IXGRP;
  if ((status.st_mode & group) == group && status.st_gid != getgid()) return "set-group-ID";
  if (getuid() != 0 && getxattr(binary.c_str(), "security.capability", nullptr, 0) > 0) {
    return "given capabilities";
  }
  return "";
}

// True if the file may be run.  Otherwise the obstacle is set.
bool MayRun(const std::string& file, Program* program) {
  if (IsFile(file) && access(file.c_str(), X_OK) == 0) return true;
  SetObstacle(
      program, Obstacle::kNotExecutable,
      absl::StrCat("it cannot be run: ", IsFile(file) ? std::strerror(errno) : "it is no file"));
  return false;
}

// Follows first lines of scripts until a file is no script.
bool FindBinary(Program* program) {
  std::string file = program->path;
  for (int depth = 0; depth <= kMostScripts; ++depth) {
    if (!MayRun(file, program)) return false;
    const std::vector<std::string> line = FirstLineOf(file);
    if (line.empty() && ReadElf(file)) {
      program->binary = file;
      return true;
    }
    program->scripts.push_back(file);
    // A file of neither kind is taken for a script of the shell, as by execvp(3).
    const std::string interpreter = line.empty() ? "/bin/sh" : InterpreterOf(line);
    if (interpreter.empty()) {
      SetObstacle(program, Obstacle::kNotFound,
                  absl::StrCat(file, " asks for an interpreter that is not there: ", line[0]));
      return false;
    }
    file = interpreter;
  }
  SetObstacle(program, Obstacle::kNotExecutable, "scripts run scripts without end");
  return false;
}

void LookAtBinary(Program* program) {
  const std::optional<ElfFile> elf = ReadElf(program->binary);
  if (!elf) {
    return SetObstacle(program, Obstacle::kNoElf,
                       absl::StrCat(program->binary, " is no ELF file", errno != 0 ? ": " : "",
                                    errno != 0 ? std::strerror(errno) : ""));
  }
  program->elf = *elf;
  const std::optional<ElfFile> own = ReadElf("/proc/self/exe");
  if (!own) return SetObstacle(program, Obstacle::kNoElf, "/proc is not mounted");
  if (elf->machine != own->machine || elf->is_64_bits != own->is_64_bits) {
    return SetObstacle(program, Obstacle::kOtherMachine,
                       absl::StrCat("it is a program for ", MachineName(elf->machine),
                                    elf->is_64_bits ? ", 64 bits" : ", 32 bits"));
  }
  if (elf->interpreter.empty()) {
    return SetObstacle(program, Obstacle::kStatic,
                       "it is linked statically, so no loader puts an object into it");
  }
  if (BaseName(elf->interpreter) != BaseName(own->interpreter)) {
    return SetObstacle(program, Obstacle::kOtherLibrary,
                       absl::StrCat("its loader is ", elf->interpreter,
                                    ", which is not that of the GNU C library"));
  }
  if (HasOldTimers(*elf)) {
    return SetObstacle(program, Obstacle::kOldTimers,
                       "it is linked with the timers of glibc before 2.3.3, whose timer_t is "
                       "shorter than libkevent's");
  }
  const std::string rights = RightsOf(program->binary);
  if (!rights.empty()) {
    SetObstacle(program, Obstacle::kSecure,
                absl::StrCat("it is ", rights,
                             ": the loader lets no object in that who starts it has chosen"));
  }
}

}  // namespace

Program LookAt(const std::string& command) {
  Program program;
  program.path = FindCommand(command);
  if (program.path.empty()) {
    SetObstacle(&program, Obstacle::kNotFound, "there is no such program");
  } else if (FindBinary(&program)) {
    LookAtBinary(&program);
  }
  return program;
}

// By ldd(1), which prints `name => path (address)`.
std::vector<std::string> ObjectsOf(const Program& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string command = "ldd";
  std::string binary = program.binary;
  char* const arguments[] = {command.data(), binary.data(), nullptr};
  pid_t child;
  const int error = posix_spawnp(&child, "ldd", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  FILE* const lines = fdopen(ends[0], "r");
  std::vector<std::string> objects;
  char line[4096];
  while (lines != nullptr && error == 0 && std::fgets(line, sizeof line, lines) != nullptr) {
    const std::string text(line);
    const size_t arrow = text.find(" => /");
    if (arrow == std::string::npos) continue;
    const size_t begin = arrow + 4;
    objects.push_back(text.substr(begin, text.rfind(" (") - begin));
  }
  if (lines != nullptr) std::fclose(lines);
  if (error == 0) waitpid(child, nullptr, 0);
  return objects;
}

}  // namespace kevent::kevrun
