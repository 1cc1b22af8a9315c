// SPDX-License-Identifier: MIT
//
// KEVENT_INODE: what happens in a directory or to a file, by inotify.
// id.raw[0] is a descriptor of it, which may be closed afterwards.
//
// All of a queue share one inotify, since a user may have few.  There a file has
// one watch, whose mask is what all its kevents ask for together.

#include <sys/inotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/system.h"
#include "core/watching.h"

namespace kevent::core {
namespace {

struct Meaning {
  uint32_t event;
  uint32_t inotify;
};
constexpr Meaning kMeanings[] = {
    {KEVENT_INODE_CREATE, IN_CREATE | IN_MOVED_TO},
    {KEVENT_INODE_REMOVE, IN_DELETE | IN_MOVED_FROM},
    {KEVENT_INODE_MODIFY, IN_MODIFY},
    {KEVENT_INODE_ATTRIB, IN_ATTRIB},
    {KEVENT_INODE_SELF, IN_DELETE_SELF | IN_MOVE_SELF},
};
constexpr uint32_t kOfDirectories = KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE;
constexpr uint32_t kEvents =
    kOfDirectories | KEVENT_INODE_MODIFY | KEVENT_INODE_ATTRIB | KEVENT_INODE_SELF;

uint32_t ToInotify(uint32_t events) {
  uint32_t mask = 0;
  for (const Meaning& meaning : kMeanings) {
    if ((events & meaning.event) != 0) mask |= meaning.inotify;
  }
  return mask;
}

uint32_t FromInotify(uint32_t mask) {
  uint32_t events = 0;
  for (const Meaning& meaning : kMeanings) {
    if ((mask & meaning.inotify) != 0) events |= meaning.event;
  }
  return events;
}

int Attach(KeventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  if (record.key.id >> 32 != 0) return -EINVAL;
  const int fd = static_cast<int>(record.key.id);
  const int mode = sys::FileMode(fd);
  if (mode < 0) return mode;
  const bool directory = (mode & S_IFMT) == S_IFDIR;
  if (!directory && (record.event & kOfDirectories) != 0) {
    if (request.event != KEVENT_MASK_ALL) return -ENOTDIR;
    record.event &= ~kOfDirectories;
  }
  const int inotify = set.Inotify();
  if (inotify < 0) return inotify;
  if (const int error = set.table().ReserveWatch(); error != 0) return -error;
  // What has happened before is not this one's.
  HarvestInotify(set);
  const int watch = sys::InotifyAdd(inotify, fd, ToInotify(record.event));
  if (watch < 0) return watch;
  set.table().LinkWatch(number, watch);
  return 0;
}

void Detach(KeventSet& set, uint32_t number) {
  const int watch = KeventTable::WatchOf(set.At(number));
  const bool wanted = set.table().UnlinkWatch(number);
  // The kernel has dropped the watch of a file that is gone.
  if (!wanted && !set.At(number).ended) sys::InotifyRemove(set.Inotify(), watch);
}

int Change(KeventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  const int mode = sys::FileMode(static_cast<int>(record.key.id));
  if (mode < 0) return mode;
  const bool directory = (mode & S_IFMT) == S_IFDIR;
  const uint32_t events = directory ? record.event : record.event & ~kOfDirectories;
  const int watch =
      sys::InotifyAdd(set.Inotify(), static_cast<int>(record.key.id), ToInotify(events));
  if (watch < 0) return watch;
  // Another file has the number by now, of whatever kind.
  if (watch != KeventTable::WatchOf(record)) {
    if (set.table().FirstOf(watch) == 0) sys::InotifyRemove(set.Inotify(), watch);
    return -EBADF;
  }
  if (events != record.event && request.event != KEVENT_MASK_ALL) return -ENOTDIR;
  record.event = events;
  return 0;
}

void Count(KeventSet& set, uint32_t number, uint32_t events, uint32_t how_many) {
  Kevent& record = set.At(number);
  record.found_data[0] |= events;
  const uint32_t sum = record.found_data[1] + how_many;
  record.found_data[1] = sum < how_many ? UINT32_MAX : sum;
  set.MakeReady(number, false);
}

void Happened(KeventSet& set, const inotify_event& event) {
  const bool lost = (event.mask & IN_Q_OVERFLOW) != 0;
  for (uint32_t link = set.table().FirstOf(event.wd); link != 0;) {
    const uint32_t number = link - 1;
    Kevent& record = set.At(number);
    link = record.same_descriptor;
    if (record.ended) continue;
    if ((event.mask & (IN_IGNORED | IN_UNMOUNT)) != 0) {
      record.ended = true;
      record.found_flags = KEVENT_RET_BROKEN;
      set.MakeReady(number, false);
    } else if (const uint32_t events = FromInotify(event.mask) & record.event; events != 0) {
      Count(set, number, events, lost ? UINT32_MAX : 1);
    }
  }
}

}  // namespace

int KeventSet::Inotify() {
  int inotify = inotify_.load(std::memory_order_acquire) - 1;
  if (inotify >= 0) return inotify;
  inotify = AdoptMember(Token(kInotifyToken, 0), sys::CreateInotify);
  if (inotify < 0) return inotify;
  inotify_.store(inotify + 1, std::memory_order_release);
  ++watched_;
  return inotify;
}

void HarvestInotify(KeventSet& set) {
  alignas(inotify_event) char buffer[4096];
  // The number may be a stranger's, if the program has closed ours behind our back.
  const int inotify = set.Inotify();
  if (sys::EpollModify(set.queue().epoll(), inotify, POLLIN, Token(kInotifyToken, 0)) < 0) return;
  for (;;) {
    const int bytes = sys::ReadInotify(inotify, buffer, sizeof buffer);
    if (bytes <= 0) return;
    for (int at = 0; at < bytes;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      at += static_cast<int>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        set.table().ForEachWatch(
            [&set](uint32_t number) { Count(set, number, set.At(number).event, UINT32_MAX); });
      } else {
        Happened(set, event);
      }
    }
  }
}

constexpr Source kInodeSource = {kEvents, Attach, Change, Detach, nullptr, nullptr, nullptr};

}  // namespace kevent::core
