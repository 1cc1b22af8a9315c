// SPDX-License-Identifier: MIT

#include "tools/kevrun/preload.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "tools/kevrun/elf_file.h"

namespace kevent::kevrun {
namespace {

// As the library is installed, and as a build has it.
constexpr const char* kSoname = "libkevent.so.0";
constexpr const char* kLinkName = "libkevent.so";

using Path = std::unique_ptr<char, decltype(&std::free)>;

std::string RealPath(const std::string& path) {
  const Path real(realpath(path.c_str(), nullptr), &std::free);
  return real == nullptr ? "" : real.get();
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Beside this program, in the directory above, where a build has it, or where it was installed.
std::string BesideThisProgram() {
  const std::string own = RealPath("/proc/self/exe");
  if (own.empty()) return "";
  const std::string here = DirectoryOf(own);
  for (const std::string& directory :
       {here, absl::StrCat(here, "/.."), absl::StrCat(here, "/", KEVENT_LIBRARY_FROM_TOOLS)}) {
    for (const char* name : {kSoname, kLinkName}) {
      // By the name that stays when the library is replaced by a newer one.
      std::string found = absl::StrCat(RealPath(directory), "/", name);
      if (access(found.c_str(), R_OK) == 0) return found;
    }
  }
  return "";
}

// Along the loader's own search path.
std::string FoundByLoader() {
  void* const handle = dlopen(kSoname, RTLD_LAZY | RTLD_LOCAL);
  link_map* map = nullptr;
  if (handle == nullptr || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) return "";
  return map->l_name;
}

bool IsSanitizer(const std::string& object) {
  const std::string name = object.substr(object.rfind('/') + 1);
  const char* const kNames[] = {"libasan.so", "libtsan.so", "libhwasan.so", "liblsan.so",
                                "libclang_rt."};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&name](const char* sanitizer) { return absl::StartsWith(name, sanitizer); });
}

bool IsLibkevent(const std::string& library) {
  const std::optional<ElfFile> elf = ReadElf(library);
  return elf && IsLibkevent(*elf);
}

bool IsSameFile(const std::string& one, const std::string& other) {
  struct stat first;
  struct stat second;
  return one == other || (stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 &&
                          first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

}  // namespace

std::string FindLibrary(const std::string& named, std::string* why) {
  std::string library;
  if (!named.empty()) {
    library = RealPath(named);
    if (library.empty()) *why = absl::StrCat("there is no ", named);
  } else {
    library = BesideThisProgram();
    if (library.empty()) library = FoundByLoader();
    if (library.empty()) *why = absl::StrCat(kSoname, " is neither beside kevrun nor installed");
  }
  if (!library.empty() && !IsLibkevent(library)) {
    *why = absl::StrCat(library, " is no library of libkevent");
    return "";
  }
  // The loader takes both for the end of a name, and knows no way to quote them.
  if (library.find_first_of(": ") != std::string::npos) {
    *why = absl::StrCat("LD_PRELOAD cannot name a path with a colon or a space: ", library);
    return "";
  }
  return library;
}

std::string SanitizerOf(const std::vector<std::string>& needed) {
  const auto found = std::find_if(needed.begin(), needed.end(), IsSanitizer);
  return found == needed.end() ? "" : *found;
}

std::string FindAdapter(const std::string& name, const std::string& library, std::string* why) {
  const std::string directory = DirectoryOf(library);
  for (const char* const place : {"adapters", "kevent"}) {
    std::string found = absl::StrCat(directory, "/", place, "/libkevent-", name, ".so");
    if (access(found.c_str(), R_OK) == 0) return found;
  }
  *why = absl::StrCat("there is no libkevent-", name, ".so beside ", library);
  return "";
}

std::string WithObjects(const std::vector<std::string>& objects, const std::string& sanitizer,
                        const std::string& before) {
  std::vector<std::string> others =
      absl::StrSplit(before, absl::ByAnyChar(": "), absl::SkipEmpty());
  const auto sanitizers = std::stable_partition(others.begin(), others.end(), IsSanitizer);
  std::vector<std::string> all;
  if (!sanitizer.empty() && sanitizers == others.begin()) all.push_back(sanitizer);
  all.insert(all.end(), others.begin(), sanitizers);
  all.insert(all.end(), objects.begin(), objects.end());
  std::copy_if(sanitizers, others.end(), std::back_inserter(all), [&](const std::string& other) {
    return std::none_of(objects.begin(), objects.end(),
                        [&other](const std::string& object) { return IsSameFile(other, object); });
  });
  return absl::StrJoin(all, ":");
}

}  // namespace kevent::kevrun
