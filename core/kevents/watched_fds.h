// SPDX-License-Identifier: MIT
//
// The numbers of the program's descriptors that kevents watch.  epoll lets go of a file when its
// last descriptor is closed.  So a number that is closed while there is another one for its file
// must be taken out before: afterwards no call can.
//
// A thread that adds a number holds its queue's lock; all other functions are async-signal-safe.

#ifndef KEVENT_CORE_KEVENTS_WATCHED_FDS_H_
#define KEVENT_CORE_KEVENTS_WATCHED_FDS_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

#include "core/descriptors/registry.h"

namespace kevent::core {

class WatchedFds {
 public:
  // Notes that a queue is about to watch a number below Registry::kMaxDescriptor: 0 or an errno.
  static int Add(int fd, uint32_t queue);
  // Notes that the queue watches the number no more.
  static void Remove(int fd, uint32_t queue);

  static bool Is(int fd) { return WatcherIn(Get(fd)) != 0; }
  // True if this queue watches the number, or perhaps several do.
  static bool Is(int fd, uint32_t queue) { return IsWatcher(Get(fd), queue); }
  // How often the number was closed while it was watched: who notes that before watching it can
  // tell the file from another that has its number later, and is watched too.
  static uint32_t Closings(int fd) { return ClosingsIn(Get(fd)); }
  static bool Is(int fd, uint32_t queue, uint32_t closings) {
    const uint64_t entry = Get(fd);
    return IsWatcher(entry, queue) && ClosingsIn(entry) == closings;
  }

  // The program is about to close these numbers: takes them out of all epolls.
  static void Unwatch(unsigned first, unsigned last);
  static void Unwatch(int fd) {
    if (ABSL_PREDICT_FALSE(Is(fd))) UnwatchOf(fd);
  }

 private:
  static constexpr uint32_t kSeveral = UINT32_MAX;
  static constexpr int kPageEntries = 1024;
  // In the lower half the queue that watches a number, plus one; kSeveral; or 0.  In the upper half
  // the number of closings.  Wiped by fork, whose child has queues of its own.
  using Entry = std::atomic<uint64_t>;
  static std::atomic<Entry*> pages_[Registry::kMaxDescriptor / kPageEntries];

  static constexpr uint64_t kClosing = uint64_t{1} << 32;
  static uint32_t WatcherIn(uint64_t entry) { return static_cast<uint32_t>(entry); }
  static uint32_t ClosingsIn(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }
  static bool IsWatcher(uint64_t entry, uint32_t queue) {
    return WatcherIn(entry) == queue + 1 || WatcherIn(entry) == kSeveral;
  }
  static uint64_t With(uint64_t entry, uint32_t watcher) {
    return (entry & ~uint64_t{UINT32_MAX}) | watcher;
  }

  static Entry* EntryOf(int fd) {
    if (ABSL_PREDICT_FALSE(fd < 0 || fd >= Registry::kMaxDescriptor)) return nullptr;
    Entry* page = pages_[fd / kPageEntries].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : page + fd % kPageEntries;
  }
  static uint64_t Get(int fd) {
    const Entry* entry = EntryOf(fd);
    return entry == nullptr ? 0 : entry->load(std::memory_order_seq_cst);
  }
  // Takes the mark away for a closing, and returns who watched.
  static uint32_t Close(int fd);
  static void UnwatchOf(int fd);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_WATCHED_FDS_H_
