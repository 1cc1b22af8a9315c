// SPDX-License-Identifier: MIT

#include "tools/support/command_line.h"

#include <absl/flags/commandlineflag.h>
#include <absl/flags/reflection.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace kevent::tools {
namespace {

constexpr size_t kWidth = 88;
constexpr size_t kIndent = 24;

// As the program was started, for the messages.
const char* g_program = "";

absl::string_view BaseName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

bool IsSwitch(const absl::CommandLineFlag& flag) { return flag.IsOfType<bool>(); }

bool MayBeAlone(const absl::CommandLineFlag& flag) { return flag.IsOfType<OptionalText>(); }

// The flag and its value, as they are to be given.
std::string Form(const absl::CommandLineFlag& flag) {
  const std::string name = absl::StrReplaceAll(flag.Name(), {{"_", "-"}});
  if (IsSwitch(flag)) return absl::StrCat("--", name);
  if (MayBeAlone(flag)) return absl::StrCat("--", name, "[=TEXT]");
  return absl::StrCat("--", name, flag.IsOfType<std::string>() ? "=TEXT" : "=N");
}

// The text in lines, each but the first behind the column of the flags' names.
std::string Wrapped(absl::string_view text) {
  std::string wrapped;
  size_t column = kIndent;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column > kIndent && column + 1 + word.size() > kWidth) {
      absl::StrAppend(&wrapped, "\n", std::string(kIndent, ' '));
      column = kIndent;
    } else if (column > kIndent) {
      absl::StrAppend(&wrapped, " ");
      ++column;
    }
    absl::StrAppend(&wrapped, word);
    column += word.size();
  }
  return wrapped;
}

// An empty text and a switch that is off need no default: the help says what they mean.
std::string HelpOf(const absl::CommandLineFlag& flag) {
  std::string help = flag.Help();
  const std::string value = flag.DefaultValue();
  if (!value.empty() && value != "false") absl::StrAppend(&help, " (default: ", value, ")");
  return help;
}

[[noreturn]] void PrintHelp(absl::string_view words, absl::string_view what) {
  std::map<std::string, std::string> lines;
  for (const auto& [name, flag] : absl::GetAllFlags()) lines[Form(*flag)] = HelpOf(*flag);
  lines["--help"] = "print this and exit";
  std::string all = absl::StrCat("usage: ", BaseName(g_program), " [OPTION...]",
                                 words.empty() ? "" : " ", words, "\n\n", what, "\n\n");
  for (const auto& [form, help] : lines) {
    std::string line = absl::StrCat("  ", form);
    if (line.size() + 2 > kIndent) absl::StrAppend(&line, "\n");
    line.resize(line.back() == '\n' ? line.size() + kIndent : kIndent, ' ');
    absl::StrAppend(&all, line, Wrapped(help), "\n");
  }
  std::fputs(all.c_str(), stdout);
  std::exit(EXIT_SUCCESS);
}

// Sets the flag of the argument at *i, and leaves *i at its last word.
void ParseOption(int argc, char** argv, int* i) {
  const absl::string_view argument = argv[*i];
  const size_t equals = argument.find('=');
  const std::string name = absl::StrReplaceAll(argument.substr(0, equals), {{"-", "_"}});
  absl::CommandLineFlag* const flag =
      name.substr(0, 2) == "__" ? absl::FindCommandLineFlag(name.substr(2)) : nullptr;
  if (flag == nullptr) Misused(absl::StrCat("unknown option '", argument, "'"));
  absl::string_view value;
  if (equals != absl::string_view::npos) {
    value = argument.substr(equals + 1);
  } else if (IsSwitch(*flag)) {
    value = "true";
  } else if (MayBeAlone(*flag)) {
    value = "";
  } else if (*i + 1 < argc) {
    value = argv[++*i];
  } else {
    Misused(absl::StrCat("option '", argument, "' wants a value"));
  }
  std::string error;
  if (!flag->ParseFrom(value, &error)) {
    Misused(absl::StrCat("option '--", flag->Name(), "' takes no '", value, "'",
                         error.empty() ? "" : ": ", error));
  }
}

}  // namespace

bool AbslParseFlag(absl::string_view text, OptionalText* value, std::string*) {
  *value = {true, std::string(text)};
  return true;
}

std::string AbslUnparseFlag(const OptionalText& value) { return value.text; }

void Misused(absl::string_view why) {
  const std::string name(BaseName(g_program));
  std::fprintf(stderr, "%s: %s\nTry '%s --help'.\n", name.c_str(), std::string(why).c_str(),
               g_program);
  std::exit(2);
}

int ParseLeadingOptions(int argc, char** argv, absl::string_view words, absl::string_view what) {
  g_program = argv[0];
  int i = 1;
  for (; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") PrintHelp(words, what);
    if (argument == "--") return i + 1;
    if (argument.substr(0, 1) != "-") break;
    ParseOption(argc, argv, &i);
  }
  return i;
}

void ParseCommandLine(int argc, char** argv, absl::string_view what) {
  const int first = ParseLeadingOptions(argc, argv, "", what);
  if (first < argc) Misused(absl::StrCat("surplus argument '", argv[first], "'"));
}

}  // namespace kevent::tools
