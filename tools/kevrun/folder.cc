// SPDX-License-Identifier: MIT

#include "tools/kevrun/folder.h"

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <tuple>

namespace kevent::kevrun {
namespace {

constexpr time_t kDay = 24 * 60 * 60;

std::string RunPrefix(pid_t kevrun) { return absl::StrCat("run-", kevrun, "-"); }

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

// The folders of this user, one in each file system that may serve.  The runtime folder of another
// user, which su(1) leaves in the environment, is none: its owner could put others in their places.
std::vector<std::string> PrivateFolders() {
  std::vector<std::string> folders;
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string why;
  if (runtime != nullptr && runtime[0] == '/' && IsPrivate(runtime, &why)) {
    folders.push_back(absl::StrCat(runtime, "/kevrun"));
  }
  folders.push_back(absl::StrCat("/dev/shm/kevrun-", geteuid()));
  folders.push_back(absl::StrCat("/tmp/kevrun-", geteuid()));
  return folders;
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

std::string ContentOf(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Whether a process has mapped the file for that.  This one gets no signal if one opens it
// meanwhile that ends it.
bool IsMapped(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", observe::kInUse);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  fcntl(fd, F_SETSIG, SIGURG);
  const bool is_mapped = fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
  close(fd);
  return is_mapped;
}

// Those of the processes as they were at execve.
bool IsInAnEnvironment(const std::string& folder) {
  const std::string variable =
      absl::StrCat(std::string(1, '\0'), observe::kFolderVariable, "=", folder) + '\0';
  for (const std::string& process : NamesIn("/proc")) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(process, &pid) || pid == getpid()) continue;
    const std::string environment = '\0' + ContentOf(absl::StrCat("/proc/", pid, "/environ"));
    if (environment.find(variable) != std::string::npos) return true;
  }
  return false;
}

bool IsLocked(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const bool is_locked = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return is_locked;
}

// Between execve and the constructors of a program only the environment tells; a process may
// overwrite that later.
bool IsUsed(const std::string& folder) {
  return IsLocked(folder) || IsMapped(folder) || IsInAnEnvironment(folder) || IsMapped(folder);
}

void RemoveOld(const std::string& folder) {
  for (const std::string& run : NamesIn(folder)) {
    const std::string path = absl::StrCat(folder, "/", run);
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    if (IsUsed(path)) {
      utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    } else if (status.st_mtime + kDay < std::time(nullptr)) {
      RemoveUnused(path);
    }
  }
}

// A program that was executed since has other mappings.
bool HasMapped(pid_t pid, const std::string& path) {
  const std::string maps = ContentOf(absl::StrCat("/proc/", pid, "/maps"));
  const size_t folder = path.rfind('/', path.rfind('/') - 1);
  return maps.empty() || maps.find(path.substr(folder) + "\n") != std::string::npos;
}

bool MakeFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
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
    std::string run = absl::StrCat(folder, "/", RunPrefix(getpid()), "XXXXXX");
    if (mkdtemp(run.data()) != nullptr && MakeFile(absl::StrCat(run, "/", observe::kInUse))) {
      return run;
    }
    *why = absl::StrCat(run, ": ", std::strerror(errno));
  }
  return "";
}

int LockFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0) flock(fd, LOCK_SH);
  return fd;
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
  std::vector<Observed> of_run;
  for (const std::string& folder : PrivateFolders()) {
    std::string why;
    if (!IsPrivate(folder, &why)) continue;
    for (const std::string& run : NamesIn(folder)) {
      const bool is_of_kevrun = absl::StartsWith(run, RunPrefix(pid));
      for (const Observed& file : ObservedIn(absl::StrCat(folder, "/", run), prefix)) {
        if (file.pid == pid) files.push_back(file);
        if (is_of_kevrun) of_run.push_back(file);
      }
    }
  }
  return files.empty() ? of_run : files;
}

std::vector<pid_t> WithoutFile(const std::string& folder, const std::string& prefix) {
  std::vector<pid_t> without;
  const std::vector<Observed> files = ObservedIn(folder, prefix);
  for (const Observed& mark : ObservedIn(folder, prefix + observe::kWithout)) {
    const bool has = std::any_of(files.begin(), files.end(),
                                 [&](const Observed& file) { return file.pid == mark.pid; });
    if (!has) without.push_back(mark.pid);
  }
  return without;
}

bool Runs(pid_t pid, uint64_t started) { return started != 0 && observe::StartOf(pid) == started; }

End EndOf(const observe::FileHeader& header, const std::string& path, bool is_last,
          const Ended& ended) {
  const auto pid = static_cast<pid_t>(header.pid);
  if (header.ended != 0) return {header.ended, is_last && Runs(pid, header.started)};
  if (!is_last) return {};
  if (pid == ended.pid) return {ended.time, false};
  if (!Runs(pid, header.started) || !HasMapped(pid, path)) return {};
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr uint64_t kBillion = 1'000'000'000;
  return {static_cast<uint64_t>(now.tv_sec) * kBillion + static_cast<uint64_t>(now.tv_nsec), true};
}

// A file that has no header yet is that of a process that runs.
void RemoveUnused(const std::string& folder) {
  const bool is_used = IsUsed(folder);
  for (const std::string& name : NamesIn(folder)) {
    Observed file;
    const bool is_observed = Parse(folder, name, &file);
    if (is_used && !is_observed) continue;
    const uint64_t started = is_used ? StartIn(file.path) : 0;
    const bool is_kept = is_used && (started == 0 || Runs(file.pid, started));
    if (!is_kept) unlink(file.path.c_str());
  }
  if (!is_used) rmdir(folder.c_str());
}

}  // namespace kevent::kevrun
