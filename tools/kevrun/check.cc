// SPDX-License-Identifier: MIT

#include "tools/kevrun/check.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <cstdio>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/kevrun/preload.h"
#include "tools/kevrun/program.h"
#include "tools/kevrun/system.h"

namespace kevent::kevrun {
namespace {

using Names = std::set<std::string>;

// What each object of a process imports of one kind of function.
struct Use {
  Names functions;
  Names objects;
};

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string KindOf(const std::string& function) {
  if (absl::StartsWith(function, "kevent_")) return "libkevent";
  for (const char* prefix : {"aio_", "lio_"}) {
    if (absl::StartsWith(function, prefix)) return "asynchronous I/O";
  }
  if (absl::StartsWith(function, "timer_")) return "POSIX timers";
  if (absl::StartsWith(function, "mq_")) return "message queues";
  if (absl::StartsWith(function, "getaddrinfo_a")) return "look-ups of names";
  return "descriptors";
}

// The functions that the library puts in front of the C library's: what it exports beside names
// of its own.
Names InterposedBy(const std::string& library) {
  Names names;
  const std::optional<ElfFile> elf = ReadElf(library);
  if (!elf) return names;
  for (const Symbol& symbol : elf->exported) {
    if (!absl::StartsWith(symbol.name, "kevent_")) names.insert(symbol.name);
  }
  return names;
}

// The objects of the C library itself call each other without the names that can be replaced.
bool IsOfTheCLibrary(const ElfFile& elf) {
  for (const char* name : {"libc.so.", "ld-linux", "libpthread.so.", "librt.so.", "libdl.so.",
                           "libanl.so.", "libresolv.so.", "libm.so."}) {
    if (absl::StartsWith(elf.soname, name)) return true;
  }
  return false;
}

// The first names, and how many more there are.
std::string Short(const Names& names) {
  constexpr size_t kMost = 4;
  if (names.size() <= kMost) return absl::StrJoin(names, ", ");
  auto end = names.begin();
  std::advance(end, kMost - 1);
  return absl::StrCat(absl::StrJoin(names.begin(), end, ", "), " and ", names.size() - kMost + 1,
                      " more");
}

class Imports {
 public:
  Imports(const Program& program, const Names& interposed) : interposed_(interposed) {
    Add(program.binary, program.elf);
    for (const std::string& object : ObjectsOf(program)) {
      const std::optional<ElfFile> elf = ReadElf(object);
      if (elf && IsLibkevent(*elf)) is_linked_ = true;
      if (elf && !IsOfTheCLibrary(*elf) && !IsLibkevent(*elf)) Add(object, *elf);
    }
  }

  void Print() const {
    if (is_linked_) std::printf("  is linked with libkevent\n");
    for (const auto& [kind, use] : uses_) {
      std::printf("  calls %s: %s (%s)\n", kind.c_str(), absl::StrJoin(use.functions, ", ").c_str(),
                  Short(use.objects).c_str());
    }
    if (uses_.empty()) std::printf("  calls none of the functions that libkevent serves\n");
    if (!loaders_.empty()) {
      std::printf(
          "  loads objects while it runs (%s): those that it loads with RTLD_DEEPBIND are not "
          "reached\n",
          Short(loaders_).c_str());
    }
  }

 private:
  void Add(const std::string& path, const ElfFile& elf) {
    for (const Symbol& symbol : elf.imported) {
      if (symbol.name == "dlopen" || symbol.name == "dlmopen") loaders_.insert(BaseName(path));
      if (!absl::StartsWith(symbol.name, "kevent_") && interposed_.count(symbol.name) == 0)
        continue;
      Use& use = uses_[KindOf(symbol.name)];
      use.functions.insert(symbol.name);
      use.objects.insert(BaseName(path));
    }
  }

  const Names& interposed_;
  bool is_linked_ = false;
  std::map<std::string, Use> uses_;
  Names loaders_;
};

bool CheckProgram(const std::string& command, const std::vector<std::string>& objects) {
  const Program program = LookAt(command);
  std::printf("%s\n", program.path.empty() ? command.c_str() : program.path.c_str());
  if (!program.scripts.empty() && !program.binary.empty()) {
    std::printf("  is a script, run by %s\n", program.binary.c_str());
  }
  if (program.obstacle != Program::Obstacle::kNone) {
    std::printf("  is not reached: %s\n", program.why.c_str());
    return false;
  }
  const Imports imports(program, InterposedBy(objects.back()));
  const std::string sanitizer = SanitizerOf(program.elf.needed);
  std::printf("  is reached by LD_PRELOAD=%s\n", WithObjects(objects, sanitizer, "").c_str());
  imports.Print();
  return true;
}

bool CheckSystem(const std::string& library) {
  std::printf("this system\n");
  bool good = true;
  for (const Finding& finding : TrySystem(library)) {
    std::printf("  %s: %s%s%s\n", finding.what.c_str(), finding.works ? "yes" : "no",
                finding.detail.empty() ? "" : ", ", finding.detail.c_str());
    good = good && (finding.works || !finding.needed);
  }
  return good;
}

}  // namespace

bool Check(const std::string& command, const std::vector<std::string>& objects) {
  const bool reached = CheckProgram(command, objects);
  const bool works = CheckSystem(objects.back());
  return reached && works;
}

}  // namespace kevent::kevrun
