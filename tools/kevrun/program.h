// SPDX-License-Identifier: MIT
//
// The program that a command names, and whether an object can be preloaded into it.

#pragma once

#include <string>
#include <vector>

#include "tools/kevrun/elf_file.h"

namespace kevent::kevrun {

struct Program {
  // Why nothing can be preloaded.
  enum class Obstacle {
    kNone,
    kNotFound,
    kNotExecutable,
    kNoElf,
    kOtherMachine,
    kStatic,
    kOtherLibrary,  // a loader of another C library than glibc
    kSecure,        // the loader takes no object from who starts it (AT_SECURE, ld.so(8))
    kOldTimers,     // linked with the timers of glibc before 2.3.3, whose timer_t has four bytes
  };

  std::string path;                  // of the command, as it was found
  std::vector<std::string> scripts;  // the path, and its interpreters that are scripts themselves
  std::string binary;                // what the kernel runs in the end: the path or an interpreter
  ElfFile elf;                       // of the binary
  Obstacle obstacle = Obstacle::kNone;
  std::string why;  // a sentence on the obstacle, or empty
};

// Finds the command as execvp(3) does, and looks at it.
Program LookAt(const std::string& command);

// The paths of the objects that the loader maps for this binary, as ldd(1) lists them: the binary
// is not run.
std::vector<std::string> ObjectsOf(const Program& program);

}  // namespace kevent::kevrun
