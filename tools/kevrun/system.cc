// SPDX-License-Identifier: MIT

#include "tools/kevrun/system.h"

#include <absl/strings/str_cat.h>
#include <dlfcn.h>
#include <kevent/kevent.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

namespace kevent::kevrun {
namespace {

std::string Reason() { return std::strerror(errno); }

// The functions of the library that are tried here, by a handle: this program is not linked with
// it.
class Library {
 public:
  explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    Find("kevent_init", &init);
    Find("kevent_close", &close);
    Find("kevent_get_events", &get_events);
    Find("kevent_timer_create", &timer_create);
    Find("kevent_timer_settime", &timer_settime);
    Find("kevent_timer_delete", &timer_delete);
    Find("kevent_version", &version);
  }
  bool complete() const { return handle_ != nullptr && !missing_; }

  decltype(&kevent_init) init;
  decltype(&kevent_close) close;
  decltype(&kevent_get_events) get_events;
  decltype(&kevent_timer_create) timer_create;
  decltype(&kevent_timer_settime) timer_settime;
  decltype(&kevent_timer_delete) timer_delete;
  decltype(&kevent_version) version;

 private:
  template <typename Function>
  void Find(const char* name, Function* function) {
    *function = handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, name));
    missing_ = missing_ || *function == nullptr;
  }

  void* const handle_;
  bool missing_ = false;
};

// A timer that is due, through a queue.
bool TryTimer(const Library& library, int queue) {
  sigevent notification = {};
  notification.sigev_notify = SIGEV_KEVENT;
  notification.sigev_kevent_fd = queue;
  timer_t timer;
  if (library.timer_create(CLOCK_MONOTONIC, &notification, &timer) != 0) return false;
  const itimerspec soon = {{0, 0}, {0, 1}};
  const timespec patience = {10, 0};
  ukevent event;
  const bool works = library.timer_settime(timer, 0, &soon, nullptr) == 0 &&
                     library.get_events(queue, 1, 1, &patience, &event, 0) == 1;
  library.timer_delete(timer);
  return works;
}

Finding TryQueue(const Library& library) {
  Finding finding = {false, true, "timers in queues", ""};
  const int queue = library.init(nullptr, 0, 0);
  if (queue < 0) {
    finding.detail = absl::StrCat("kevent_init: ", Reason());
    return finding;
  }
  finding.works = TryTimer(library, queue);
  if (!finding.works) finding.detail = absl::StrCat("a timer does not come: ", Reason());
  library.close(queue);
  return finding;
}

Finding TryPidfd() {
  const auto fd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  Finding finding = {fd >= 0, false, "ends of processes", ""};
  if (fd < 0) finding.detail = absl::StrCat("pidfd_open: ", Reason(), ": no KEVENT_PROCESS");
  if (fd >= 0) close(fd);
  return finding;
}

// The kernel looks at the parameters only if it has the call and allows it.
Finding TryRing() {
  const bool works = syscall(SYS_io_uring_setup, 1, nullptr) >= 0 || errno == EFAULT;
  Finding finding = {works, false, "asynchronous I/O by io_uring", ""};
  if (!works) finding.detail = absl::StrCat(Reason(), ": threads do it in its place");
  return finding;
}

Finding TryDescriptors() {
  constexpr rlim_t kEnough = 64;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  Finding finding = {limit.rlim_cur >= kEnough, false, "room for descriptors", ""};
  if (!finding.works) {
    finding.detail = absl::StrCat("RLIMIT_NOFILE is ", limit.rlim_cur);
  }
  return finding;
}

}  // namespace

std::vector<Finding> TrySystem(const std::string& path) {
  utsname system = {};
  uname(&system);
  const Library library(path);
  if (!library.complete()) {
    const char* const why = dlerror();
    return {{false, true, "libkevent", why == nullptr ? "it is another version" : why}};
  }
  return {{true, true, absl::StrCat("libkevent ", library.version()), path},
          {true, false, absl::StrCat(system.sysname, " ", system.release), system.machine},
          TryQueue(library),
          TryPidfd(),
          TryRing(),
          TryDescriptors()};
}

}  // namespace kevent::kevrun
