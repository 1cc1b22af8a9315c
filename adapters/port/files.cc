// SPDX-License-Identifier: MIT

#include "adapters/port/files.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "adapters/port/queue.h"

namespace kevent::port {

constinit char Files::s_inotify = 0;

namespace {

constexpr int kAskable = FILE_ACCESS | FILE_MODIFIED | FILE_ATTRIB | FILE_TRUNC;

// One mask for all: inotify has one watch for a file, however many objects name it.
constexpr uint32_t kOfInotify = IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE |
                                IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr uint32_t kOfEntries = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

// The instance is at a number of the program's, which may close it, and give it to another file, by
// closefrom(3) as a rule.  So the instance has a mark that only F_GETSIG shows: the signal of
// O_ASYNC, which it does not have.
constexpr int kMark = 64;  // the last signal of Linux

void Mark(int inotify) { kevent_fcntl(inotify, F_SETSIG, kMark); }
bool IsMarked(int inotify) { return kevent_fcntl(inotify, F_GETSIG) == kMark; }

bool AreEqual(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool IsZero(const timespec& t) { return t.tv_sec == 0 && t.tv_nsec == 0; }

int Look(const char* name, int events, struct stat* status) {
  const bool follow = (events & FILE_NOFOLLOW) == 0;
  return (follow ? stat(name, status) : lstat(name, status)) == 0 ? 0 : errno;
}

// What differs between times as stat has them and those of a look.
int Differences(const timespec& access, const timespec& modification, const timespec& change,
                const struct stat& now) {
  return (AreEqual(access, now.st_atim) ? 0 : FILE_ACCESS) |
         (AreEqual(modification, now.st_mtim) ? 0 : FILE_MODIFIED) |
         (AreEqual(change, now.st_ctim) ? 0 : FILE_ATTRIB);
}

int Differences(const file_obj_t& object, const struct stat& now) {
  if (IsZero(object.fo_atime) && IsZero(object.fo_mtime) && IsZero(object.fo_ctime)) return 0;
  return Differences(object.fo_atime, object.fo_mtime, object.fo_ctime, now);
}

// An absolute name: the program may change its directory.  0 if it is too long.
size_t Absolute(const char* name, char (&whole)[PATH_MAX]) {
  size_t length = 0;
  if (name[0] != '/') {
    if (getcwd(whole, sizeof whole) == nullptr) return 0;
    length = std::strlen(whole);
    if (length + 1 >= sizeof whole) return 0;
    whole[length++] = '/';
  }
  const size_t more = std::strlen(name) + 1;
  if (more > sizeof whole - length) return 0;
  std::memcpy(whole + length, name, more);
  return length + more;
}

}  // namespace

int Files::Associate(int queue, file_obj_t* object, int events, void* user) {
  if ((events & ~(kAskable | FILE_NOFOLLOW)) != 0) return EINVAL;
  if (object == nullptr || object->fo_name == nullptr) return EFAULT;
  if (object->fo_name[0] == '\0') return ENOENT;
  const int error = Open(queue);
  if (error != 0) return error;
  // What has happened so far is not for the new association.
  Read(queue);
  char name[PATH_MAX];
  const size_t size = Absolute(object->fo_name, name);
  if (size == 0) return ENAMETOOLONG;
  if (!by_object_.Reserve() || !by_descriptor_.Reserve() || !by_number_.Reserve()) return ENOMEM;
  Watch* const watch = Allocate(name, size);
  if (watch == nullptr) return ENOMEM;
  watch->object = reinterpret_cast<uintptr_t>(object);
  watch->user = user;
  watch->events = events;
  const int failed = Prepare(queue, watch);
  if (failed != 0) {
    std::free(watch);
    return failed;
  }
  // In place of the object's former association; the file stays watched if it is the same.
  Watch* const former = by_object_.First(watch->object);
  by_object_.Insert(watch);
  by_number_.Insert(watch);
  by_descriptor_.Insert(watch);
  if (former != nullptr) Remove(queue, former);
  Send(queue, watch, Differences(*object, watch->seen));
  return 0;
}

int Files::Dissociate(int queue, uintptr_t object) {
  Watch* const watch = by_object_.First(object);
  if (watch == nullptr) return ENOENT;
  Remove(queue, watch);
  return 0;
}

void Files::Read(int queue) {
  if (!HasInstance()) return;
  alignas(inotify_event) char bytes[4096];
  for (;;) {
    const ssize_t size = read(inotify_ - 1, bytes, sizeof bytes);
    if (size <= 0) return;
    for (ssize_t place = 0; place < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(bytes + place);
      Happened(queue, *event);
      place += static_cast<ssize_t>(sizeof *event + event->len);
    }
  }
}

bool Files::Take(uint32_t name, port_event_t* event) {
  Watch* const watch = by_number_.First(name);
  if (watch == nullptr || watch->sent_events == 0) return false;
  *event = {};
  event->portev_events = watch->sent_events;
  event->portev_source = PORT_SOURCE_FILE;
  event->portev_object = watch->object;
  event->portev_user = watch->user;
  by_number_.Remove(watch);
  by_object_.Remove(watch);
  std::free(watch);
  return true;
}

void Files::Close() {
  by_object_.ForEach([](Watch* watch) { std::free(watch); });
  by_object_.Close();
  by_descriptor_.Close();
  by_number_.Close();
  if (HasInstance()) kevent_close(inotify_ - 1);
  inotify_ = 0;
}

bool Files::HasInstance() const { return inotify_ != 0 && IsMarked(inotify_ - 1); }

int Files::Open(int queue) {
  if (HasInstance()) return 0;
  const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return errno;
  ukevent request = {};
  request.type = KEVENT_POLL;
  request.id.raw[0] = static_cast<uint32_t>(fd);
  request.event = KEVENT_POLL_POLLIN;
  request.req_flags = KEVENT_REQ_ALWAYS_QUEUE;
  request.ptr = &s_inotify;
  const int error = Control(queue, KEVENT_CTL_ADD, &request);
  if (error != 0) {
    kevent_close(fd);
    return error;
  }
  Mark(fd);
  inotify_ = fd + 1;
  BeginAnew(queue);
  return 0;
}

// The program has closed the instance that the files were watched by: what has happened since is
// seen by what the files were like.
void Files::BeginAnew(int queue) {
  Watch* all = nullptr;
  by_descriptor_.ForEach([&](Watch* watch) {
    by_descriptor_.Remove(watch);
    watch->next_by_descriptor = all;
    all = watch;
  });
  while (all != nullptr) {
    Watch* const watch = all;
    all = watch->next_by_descriptor;
    const struct stat seen = watch->seen;
    constexpr uint64_t kNone = UINT64_MAX;
    if (Begin(watch) != 0) watch->descriptor = kNone;
    watch->seen = seen;
    by_descriptor_.Insert(watch);
    Send(queue, watch, Changes(*watch, 0));
  }
}

Files::Watch* Files::Allocate(const char* name, size_t size) {
  auto* const watch = static_cast<Watch*>(std::malloc(sizeof(Watch) + size));
  if (watch == nullptr) return nullptr;
  *watch = {};
  std::memcpy(watch->name(), name, size);
  return watch;
}

int Files::Prepare(int queue, Watch* watch) {
  int error;
  do {
    watch->number = Name::NewNumber();
    ukevent request = KeventOf(watch);
    error = Control(queue, KEVENT_CTL_ADD, &request);
  } while (error == EEXIST);
  if (error != 0) return error;
  error = Begin(watch);
  if (error == 0) return 0;
  ukevent request = KeventOf(watch);
  Control(queue, KEVENT_CTL_REMOVE, &request);
  return error;
}

ukevent Files::KeventOf(Watch* watch) {
  return Name(Kind::kFile, static_cast<uint32_t>(watch->number), 0).Paused(watch);
}

int Files::Begin(Watch* watch) {
  const uint32_t mask = kOfInotify | ((watch->events & FILE_NOFOLLOW) != 0 ? IN_DONT_FOLLOW : 0);
  const int descriptor = inotify_add_watch(inotify_ - 1, watch->name(), mask);
  if (descriptor < 0) return errno == ENOSPC ? EAGAIN : errno;
  watch->descriptor = static_cast<uint64_t>(descriptor);
  const int error = Look(watch->name(), watch->events, &watch->seen);
  if (error != 0) Ignore(*watch);
  return error;
}

// Unless another object names the file.
void Files::Ignore(const Watch& watch) {
  if (by_descriptor_.First(watch.descriptor) != nullptr) return;
  if (!HasInstance()) return;
  inotify_rm_watch(inotify_ - 1, static_cast<int>(watch.descriptor));
}

// The file itself cannot be asked any more: its name tells whether it has that still.
int Files::Changes(const Watch& watch, uint32_t of_inotify) {
  struct stat now;
  // The kernel tells of a lost link before the name is gone (vfs_unlink).
  const bool is_there = Look(watch.name(), watch.events, &now) == 0 && now.st_nlink != 0;
  const bool is_same =
      is_there && now.st_ino == watch.seen.st_ino && now.st_dev == watch.seen.st_dev;
  if ((of_inotify & IN_UNMOUNT) != 0) return UNMOUNTED;
  if ((of_inotify & IN_MOVE_SELF) != 0) return FILE_RENAME_FROM;
  if (!is_there) return FILE_DELETE;
  if (!is_same) return FILE_RENAME_TO;
  int events = Differences(watch.seen.st_atim, watch.seen.st_mtim, watch.seen.st_ctim, now);
  if ((of_inotify & IN_ACCESS) != 0) events |= FILE_ACCESS;
  if ((of_inotify & (IN_MODIFY | kOfEntries)) != 0) events |= FILE_MODIFIED | FILE_ATTRIB;
  if ((of_inotify & IN_ATTRIB) != 0) events |= FILE_ATTRIB;
  if ((events & FILE_MODIFIED) != 0 && S_ISREG(now.st_mode) && now.st_size < watch.seen.st_size) {
    events |= FILE_TRUNC;
  }
  return events;
}

void Files::Send(int queue, Watch* watch, int events) {
  events &= (watch->events & kAskable) | FILE_EXCEPTION;
  if (events == 0) return;
  ukevent request = Name(Kind::kFile, static_cast<uint32_t>(watch->number), 0).Request(watch);
  if (Control(queue, KEVENT_CTL_MODIFY, &request) != 0) return;
  watch->sent_events = events;
  by_descriptor_.Remove(watch);
  Ignore(*watch);
}

void Files::Remove(int queue, Watch* watch) {
  by_object_.Remove(watch);
  by_number_.Remove(watch);
  if (watch->sent_events == 0) {
    by_descriptor_.Remove(watch);
    Ignore(*watch);
  }
  ukevent request = KeventOf(watch);
  Control(queue, KEVENT_CTL_REMOVE, &request);
  std::free(watch);
}

void Files::Happened(int queue, const inotify_event& event) {
  // What happens to an entry of a directory changes the directory if the entry comes or goes.
  const bool is_of_entry = event.len != 0;
  if (is_of_entry && (event.mask & kOfEntries) == 0) return;
  if ((event.mask & IN_IGNORED) != 0) return;
  const auto look = [&](Watch* watch) { Send(queue, watch, Changes(*watch, event.mask)); };
  if ((event.mask & IN_Q_OVERFLOW) != 0) return by_descriptor_.ForEach(look);
  // A watch whose event is sent is not found by its descriptor any more.
  for (Watch* watch = by_descriptor_.First(static_cast<uint64_t>(event.wd)); watch != nullptr;) {
    Watch* const next = by_descriptor_.Next(watch);
    look(watch);
    watch = next;
  }
}

}  // namespace kevent::port
