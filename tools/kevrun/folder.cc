// SPDX-License-Identifier: MIT

#include "tools/kevrun/folder.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <tuple>

#include "adapters/observe/file.h"

namespace kevent::kevrun {
namespace {

constexpr time_t kDay = 24 * 60 * 60;

// The folders of this user, one in each file system that may serve.
std::vector<std::string> PrivateFolders() {
  std::vector<std::string> folders;
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') folders.push_back(absl::StrCat(runtime, "/kevrun"));
  folders.push_back(absl::StrCat("/dev/shm/kevrun-", geteuid()));
  folders.push_back(absl::StrCat("/tmp/kevrun-", geteuid()));
  return folders;
}

// Others may have made something of that name before, in a folder that all may write to.
bool IsPrivate(const std::string& folder, std::string* why) {
  struct stat status = {};
  if (lstat(folder.c_str(), &status) != 0) {
    *why = absl::StrCat(folder, ": ", std::strerror(errno));
    return false;
  }
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0077) != 0) {
    *why = absl::StrCat(folder, " is no folder of this user's alone");
    return false;
  }
  return true;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const directory = opendir(folder.c_str());
  if (directory == nullptr) return names;
  while (const dirent* const entry = readdir(directory)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(directory);
  return names;
}

uint64_t StartIn(const std::string& path) {
  observe::FileHeader header = {};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return 0;
  const bool is_whole = read(fd, &header, sizeof header) == sizeof header;
  close(fd);
  return is_whole ? header.started : 0;
}

bool Parse(const std::string& folder, const std::string& name, Observed* file) {
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  file->path = absl::StrCat(folder, "/", name);
  return parts.size() == 3 && absl::SimpleAtoi(parts[1], &file->pid) &&
         absl::SimpleAtoi(parts[2], &file->number);
}

void RemoveOld(const std::string& folder) {
  for (const std::string& run : NamesIn(folder)) {
    const std::string path = absl::StrCat(folder, "/", run);
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0 && status.st_mtime + kDay < std::time(nullptr)) {
      RemoveEnded(path);
    }
  }
}

}  // namespace

std::string MakeRunFolder(std::string* why) {
  for (const std::string& folder : PrivateFolders()) {
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      *why = absl::StrCat(folder, ": ", std::strerror(errno));
      continue;
    }
    if (!IsPrivate(folder, why)) continue;
    RemoveOld(folder);
    std::string run = absl::StrCat(folder, "/run-XXXXXX");
    if (mkdtemp(run.data()) != nullptr) return run;
    *why = absl::StrCat(run, ": ", std::strerror(errno));
  }
  return "";
}

std::vector<Observed> ObservedIn(const std::string& folder, const std::string& prefix) {
  std::vector<Observed> files;
  for (const std::string& name : NamesIn(folder)) {
    Observed file;
    if (name.substr(0, name.find('.')) == prefix && Parse(folder, name, &file)) {
      files.push_back(file);
    }
  }
  std::sort(files.begin(), files.end(), [](const Observed& a, const Observed& b) {
    return std::tie(a.pid, a.number) < std::tie(b.pid, b.number);
  });
  return files;
}

std::vector<Observed> ObservedOf(pid_t pid, const std::string& prefix) {
  std::vector<Observed> files;
  for (const std::string& folder : PrivateFolders()) {
    std::string why;
    if (!IsPrivate(folder, &why)) continue;
    for (const std::string& run : NamesIn(folder)) {
      for (const Observed& file : ObservedIn(absl::StrCat(folder, "/", run), prefix)) {
        if (file.pid == pid) files.push_back(file);
      }
    }
  }
  return files;
}

bool Runs(pid_t pid, uint64_t started) { return started != 0 && observe::StartOf(pid) == started; }

void RemoveEnded(const std::string& folder) {
  for (const std::string& name : NamesIn(folder)) {
    Observed file;
    if (Parse(folder, name, &file) && !Runs(file.pid, StartIn(file.path))) {
      unlink(file.path.c_str());
    }
  }
  rmdir(folder.c_str());
}

}  // namespace kevent::kevrun
