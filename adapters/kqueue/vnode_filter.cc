// SPDX-License-Identifier: MIT
//
// EVFILT_VNODE: a kevent of the type KEVENT_INODE.  What has happened to the file, beside that
// something has, is seen by how it differs from when it was last looked at.

#include <sys/stat.h>

#include <cerrno>

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {
namespace {

constexpr uint32_t kNotes =
    NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME | NOTE_REVOKE;
constexpr uint32_t kUntold = NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ;

int CheckParameters(uint32_t fflags) {
  if ((fflags & kUntold) != 0) return EOPNOTSUPP;
  return (fflags & ~kNotes) != 0 ? EINVAL : 0;
}

int Attach(Knote& knote) {
  knote.watch = Watch::kVnode;
  const int error = LookAt(static_cast<int>(knote.ident), &knote.file);
  if (error != 0) return error;
  if (!S_ISREG(knote.file.mode) && !S_ISDIR(knote.file.mode) && !S_ISLNK(knote.file.mode)) {
    return EINVAL;
  }
  return CheckParameters(knote.fflags);
}

int Touch(Knote& knote, const Event& change) {
  const int error = CheckParameters(change.fflags);
  if (error == 0) TakeParameters(knote, change);
  return error;
}

uint32_t Events(const Knote& knote) {
  const bool is_directory = S_ISDIR(knote.file.mode);
  uint32_t events = KEVENT_INODE_SELF;
  if ((knote.fflags & (NOTE_ATTRIB | NOTE_LINK | NOTE_DELETE)) != 0) {
    // The removal of a file that is open shows in its number of links alone.
    events |= KEVENT_INODE_ATTRIB;
  }
  if (is_directory && (knote.fflags & (NOTE_WRITE | NOTE_EXTEND | NOTE_LINK)) != 0) {
    events |= KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE;
  }
  if (!is_directory && (knote.fflags & (NOTE_WRITE | NOTE_EXTEND)) != 0) {
    events |= KEVENT_INODE_MODIFY;
  }
  return events;
}

uint32_t NotesOf(const ukevent& event, const FileState& before, const FileState& now) {
  const uint32_t happened = event.ret_data[0];
  const bool has_gone = (event.ret_flags & KEVENT_RET_BROKEN) != 0;
  constexpr uint32_t kOfContents = KEVENT_INODE_MODIFY | KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE;
  uint32_t notes = 0;
  if ((happened & kOfContents) != 0) notes |= NOTE_WRITE;
  if (now.size > before.size) notes |= NOTE_EXTEND;
  if (now.links != before.links) notes |= NOTE_LINK;
  // Fewer subdirectories are no removal of the directory itself.
  const bool is_removed = S_ISDIR(now.mode) ? now.links == 0 : now.links < before.links;
  if (is_removed && before.links != 0) notes |= NOTE_DELETE;
  const bool has_changed =
      now.changed.tv_sec != before.changed.tv_sec || now.changed.tv_nsec != before.changed.tv_nsec;
  // An entry's attributes are none of the directory's, and a link is told of as one.
  if ((happened & KEVENT_INODE_ATTRIB) != 0 && has_changed && now.links == before.links) {
    notes |= NOTE_ATTRIB;
  }
  if ((happened & KEVENT_INODE_SELF) != 0 && now.links != 0 && !has_gone) notes |= NOTE_RENAME;
  if (has_gone && now.links != 0) notes |= NOTE_REVOKE;
  return notes;
}

// As on FreeBSD, who asks for one of these two is told of both.
uint32_t Asked(uint32_t notes, uint32_t fflags) {
  constexpr uint32_t kOfWriting = NOTE_WRITE | NOTE_EXTEND;
  const bool is_told = (notes & kOfWriting & fflags) != 0;
  return notes & (is_told ? fflags | kOfWriting : fflags);
}

Meaning Meet(Knote& knote, const ukevent& event, uint16_t*) {
  if (event.type != KEVENT_INODE) return OfPending(knote);
  if ((event.ret_flags & KEVENT_RET_BROKEN) != 0) knote.watch = Watch::kNothing;
  FileState now;
  const bool is_open = LookAt(static_cast<int>(knote.ident), &now) == 0;
  if (!is_open || !IsSameFile(now, knote.file)) return Meaning::kGone;
  knote.pending_fflags |= Asked(NotesOf(event, knote.file, now), knote.fflags);
  knote.file = now;
  knote.is_active = knote.pending_fflags != 0;
  if (!knote.is_active && knote.watch == Watch::kNothing) return Meaning::kGone;
  return OfPending(knote);
}

}  // namespace

const Filter kVnodeFilter = {.number = EVFILT_VNODE,
                             .flags = 0,
                             .of_descriptor = true,
                             .attach = Attach,
                             .touch = Touch,
                             .events = Events,
                             .meet = Meet,
                             .clear = ClearPending};

}  // namespace kevent::kqueue
