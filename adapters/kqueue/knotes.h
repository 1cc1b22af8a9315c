// SPDX-License-Identifier: MIT
//
// The registrations of a kqueue, found by (ident, filter) and by handle.

#ifndef KEVENT_ADAPTERS_KQUEUE_KNOTES_H_
#define KEVENT_ADAPTERS_KQUEUE_KNOTES_H_

#include <sys/types.h>

#include <bit>
#include <cstdint>

#include "adapters/kqueue/event.h"
#include "adapters/queues/index.h"

namespace kevent::kqueue {

struct Filter;

// How a registration stands in the queue: as one kevent, whose cookie is the handle.
enum class Watch : uint8_t {
  kNothing,     // the kevent has gone with its last event
  kDescriptor,  // KEVENT_POLL
  kFile,        // KEVENT_INODE, for the end of a regular file
  kVnode,       // KEVENT_INODE
  kTimer,       // KEVENT_TIMER
  kSignal,      // KEVENT_SIGNAL
  kProcess,     // KEVENT_PROCESS
  kUser,        // KEVENT_UNOTIFY: ready when this library says so
};

// What a file was like when it was looked at.
struct FileState {
  dev_t device;
  ino_t inode;
  mode_t mode;
  nlink_t links;
  off_t size;
  timespec changed;
};

// One registration.
struct Knote {
  uint64_t ident;
  const Filter* filter;
  uint16_t flags;   // EV_ONESHOT, EV_CLEAR, EV_DISPATCH, EV_RECEIPT
  uint32_t fflags;  // parameters: as the last change had them
  int64_t data;
  void* udata;
  uint64_t ext[4];

  Watch watch;
  bool is_disabled;
  // The condition of the filter has come true and was not reported, or stays true.
  bool is_active;
  // The kevent was made ready by this library: its next event may say nothing of its source.
  bool is_prompted;
  // poll says that a descriptor is ready, and the filter that it is not: its kevent waits for
  // edges.
  bool waits_for_edge;
  // What is to be reported, beside what the event of the queue says.
  uint32_t pending_fflags;
  int64_t pending_data;
  FileState file;

  uint32_t place;
  uint32_t generation;
  bool is_used;
  Knote* next;  // of those with its hash, or of the free ones

  bool Has(uint16_t flag) const { return (flags & flag) != 0; }
};

// Names a registration for as long as it lives: its place, its kqueue's number, and how often the
// place was used before.
using Handle = uint64_t;

// Zeroed memory is an empty one.
class Knotes {
 public:
  // The number of the kqueue, before anything is added.
  void Begin(uint32_t number) { kqueue_ = number & kKqueueMask; }
  Knote* Find(uint64_t ident, const Filter& filter) const;
  // nullptr if the registration is there no more.
  Knote* At(Handle handle) const;
  // It stays where it is.  nullptr if there is no memory.
  Knote* Add(uint64_t ident, const Filter& filter);
  void Remove(Knote* knote);
  void Clear();
  void ForEach(auto action) const {
    for (uint32_t place = 1; place <= used_; ++place) {
      const Knote& knote = *AtPlace(place);
      if (knote.is_used) action(knote);
    }
  }
  // The handles of the registration are another's from now on, that is, nobody's.
  static void Rename(Knote& knote) { ++knote.generation; }

  Handle HandleOf(const Knote& knote) const {
    return Handle{knote.generation} << kGenerationAt | Handle{kqueue_} << kPlaceBits | knote.place;
  }
  // Whether a handle is one of this kqueue's.
  bool IsOurs(Handle handle) const { return (handle >> kPlaceBits & kKqueueMask) == kqueue_; }
  // Names a registration among all of the process, also when its handle changes.
  uint64_t IdOf(Handle handle) const { return handle & ((Handle{1} << kGenerationAt) - 1); }

 private:
  static constexpr unsigned kPlaceBits = 24;  // libkevent has no more kevents
  static constexpr unsigned kKqueueBits = 20;
  static constexpr uint32_t kKqueueMask = (1u << kKqueueBits) - 1;
  static constexpr unsigned kGenerationAt = kPlaceBits + kKqueueBits;
  static constexpr uint32_t kMostPlaces = (1u << kPlaceBits) - 1;

  // Each block of places is as large as all before it and one of the first.
  static constexpr uint32_t kFirstBlock = 16;
  static constexpr unsigned kBlocks = kPlaceBits - 3;
  static unsigned BlockOf(uint32_t place) {
    return static_cast<unsigned>(std::bit_width((place - 1) / kFirstBlock + 1)) - 1;
  }
  static uint32_t SizeOf(unsigned block) { return kFirstBlock << block; }
  static uint32_t PlacesBefore(unsigned block) { return SizeOf(block) - kFirstBlock; }

  Knote* AtPlace(uint32_t place) const {
    const unsigned block = BlockOf(place);
    return &blocks_[block][place - 1 - PlacesBefore(block)];
  }
  Knote* FreshPlace();

  queues::Index<Knote, &Knote::ident, &Knote::next> by_ident_;
  Knote* blocks_[kBlocks];
  uint32_t used_;  // places after this one were never in use
  Knote* free_;
  uint32_t kqueue_;
};

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_KNOTES_H_
