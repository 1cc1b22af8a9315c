// SPDX-License-Identifier: MIT
//
// KEVENT_INODE: events in a directory or on a file, by inotify.  id.raw[0] is a descriptor of the
// file, which may be closed afterwards.
//
// All kevents of a queue share one inotify, since a user may have few.  In an inotify a file has
// one watch, whose mask is the union of its kevents'.

#include <sys/inotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/descriptors/internal_descriptors.h"
#include "core/kevents/epoll_members.h"
#include "core/kevents/event_set.h"
#include "core/system/system.h"

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
  // A watch for nothing is refused.
  return mask != 0 ? mask : IN_DELETE_SELF;
}

uint32_t FromInotify(uint32_t mask) {
  uint32_t events = 0;
  for (const Meaning& meaning : kMeanings) {
    if ((mask & meaning.inotify) != 0) events |= meaning.event;
  }
  return events;
}

// The inotify of all kevents, made when it is first needed; or a negative errno.
int Inotify(EventSet& set) { return set.Shared(KEVENT_INODE, sys::CreateInotify); }

void Count(EventSet& set, uint32_t number, uint32_t events, uint32_t how_many) {
  Kevent& record = set.At(number);
  record.found_data[0] |= events;
  const uint32_t sum = record.found_data[1] + how_many;
  record.found_data[1] = sum < how_many ? UINT32_MAX : sum;
  set.MakeReady(number, false);
}

void Happened(EventSet& set, const inotify_event& event) {
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
      Count(set, number, events, 1);
    }
  }
}

// Hands the inotify's reports to the records with the watch; if it has lost events, to all records.
void HarvestShared(EventSet& set) {
  alignas(inotify_event) char buffer[4096];
  // The number may be a stranger's, if the program has closed the inotify by a system call
  // of its own.
  const int inotify = Inotify(set);
  if (sys::EpollModify(set.queue().epoll(), inotify, POLLIN, SharedToken(KEVENT_INODE)) < 0) return;
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

int Attach(EventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  if (record.key.id >> 32 != 0) return -EINVAL;
  const int fd = static_cast<int>(record.key.id);
  if (IsInternal(fd)) return -EBADF;
  const int mode = sys::FileMode(fd);
  if (mode < 0) return mode;
  const bool directory = (mode & S_IFMT) == S_IFDIR;
  if (!directory && (record.event & kOfDirectories) != 0) {
    if (request.event != KEVENT_MASK_ALL) return -ENOTDIR;
    record.event &= ~kOfDirectories;
  }
  const int inotify = Inotify(set);
  if (inotify < 0) return inotify;
  if (const int error = set.table().ReserveWatch(); error != 0) return -error;
  // Events from before the registration are for the kevents that were there.
  HarvestShared(set);
  const int watch = sys::InotifyAdd(inotify, fd, ToInotify(record.event));
  if (watch < 0) return watch;
  set.table().LinkWatch(number, watch);
  return 0;
}

void Detach(EventSet& set, uint32_t number) {
  const int watch = KeventTable::WatchOf(set.At(number));
  const bool wanted = set.table().UnlinkWatch(number);
  // If the file is gone, the kernel has dropped its watch.
  if (!wanted && !set.At(number).ended) sys::InotifyRemove(Inotify(set), watch);
}

int Change(EventSet& set, uint32_t number, const ukevent& request) {
  Kevent& record = set.At(number);
  // The file is gone, and the kernel's watch with it: what is left is to report that.
  if (record.ended) return 0;
  const int mode = sys::FileMode(static_cast<int>(record.key.id));
  if (mode < 0) return mode;
  const bool directory = (mode & S_IFMT) == S_IFDIR;
  const uint32_t events = directory ? record.event : record.event & ~kOfDirectories;
  const int watch =
      sys::InotifyAdd(Inotify(set), static_cast<int>(record.key.id), ToInotify(events));
  if (watch < 0) return watch;
  // The descriptor names another file by now, of whatever kind.
  if (watch != KeventTable::WatchOf(record)) {
    if (set.table().FirstOf(watch) == 0) sys::InotifyRemove(Inotify(set), watch);
    return -EBADF;
  }
  if (events != record.event && request.event != KEVENT_MASK_ALL) return -ENOTDIR;
  record.event = events;
  if (record.paused) return 0;
  // Changes that came while the kevent was paused are kept as far as the new mask has them.
  record.found_data[0] &= events;
  if (record.found_data[0] == 0) record.found_data[1] = 0;
  return 0;
}

}  // namespace

constexpr Source kInodeSource = {.events = kEvents,
                                 .attach = Attach,
                                 .change = Change,
                                 .detach = Detach,
                                 .harvest_shared = HarvestShared};

}  // namespace kevent::core
