// SPDX-License-Identifier: MIT
//
// The command line of a tool: Abseil's flags, and nothing else.

#pragma once

#include <absl/strings/string_view.h>

#include <string>

namespace kevent::tools {

// The value of a flag that may be given alone, or with a text: --name or --name=text.
struct OptionalText {
  bool is_given = false;
  std::string text;
};
bool AbslParseFlag(absl::string_view text, OptionalText* value, std::string* error);
std::string AbslUnparseFlag(const OptionalText& value);

// Sets the program's flags, those of ABSL_FLAG, from its arguments: --name=value or
// --name value, and for a switch or an OptionalText --name; a name may be written with - for _.
//
// --help prints `what`, sentences on what the program does, then each flag with its help
// and default, and ends the program with status 0.  An argument that is no flag, or that
// a flag does not take, ends it as Misused does.
//
// absl::ParseCommandLine is not used: it ends with status 1 for both, lists only flags of a
// source file that is named after the program, lets surplus arguments pass, and has a dozen
// flags of its own.
void ParseCommandLine(int argc, char** argv, absl::string_view what);

// The same for a program that takes words after its flags, for example a command to run: the first
// argument that is no flag, or the one after --, ends the flags.  Returns its place, or argc if
// there is none.  `words` says in the usage what it takes.
int ParseLeadingOptions(int argc, char** argv, absl::string_view words, absl::string_view what);

// Prints `why`, which names the argument, and a hint to --help to the standard error, and
// ends the program with status 2.  Needs what ParseCommandLine has seen.
[[noreturn]] void Misused(absl::string_view why);

}  // namespace kevent::tools
