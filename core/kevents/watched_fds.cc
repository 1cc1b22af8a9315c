// SPDX-License-Identifier: MIT

#include "core/kevents/watched_fds.h"

#include "core/system/system.h"

namespace kevent::core {

constinit std::atomic<WatchedFds::Entry*>
    WatchedFds::pages_[Registry::kMaxDescriptor / kPageEntries] = {};

int WatchedFds::Add(int fd, uint32_t queue) {
  std::atomic<Entry*>& page = pages_[fd / kPageEntries];
  if (page.load(std::memory_order_acquire) == nullptr) {
    constexpr size_t kBytes = kPageEntries * sizeof(Entry);
    Entry* fresh;
    const int error = sys::MapPages(kBytes, sys::OnFork::kWipe, &fresh);
    if (error < 0) return -error;
    Entry* none = nullptr;
    if (!page.compare_exchange_strong(none, fresh)) {
      sys::UnmapPages(fresh, kBytes);
    }
  }
  Entry& entry = *EntryOf(fd);
  uint64_t seen = entry.load(std::memory_order_relaxed);
  uint32_t watcher;
  do {
    watcher = WatcherIn(seen);
    if (watcher == queue + 1) return 0;
  } while (!entry.compare_exchange_weak(seen, With(seen, watcher == 0 ? queue + 1 : kSeveral)));
  return 0;
}

void WatchedFds::Remove(int fd, uint32_t queue) {
  Entry* const entry = EntryOf(fd);
  if (entry == nullptr) return;
  uint64_t seen = entry->load(std::memory_order_relaxed);
  // With kSeveral it is not known if others still watch it.
  while (WatcherIn(seen) == queue + 1 && !entry->compare_exchange_weak(seen, With(seen, 0))) {
  }
}

uint32_t WatchedFds::Close(int fd) {
  Entry& entry = *EntryOf(fd);
  uint64_t seen = entry.load(std::memory_order_relaxed);
  while (!entry.compare_exchange_weak(seen, With(seen, 0) + kClosing)) {
  }
  return WatcherIn(seen);
}

void WatchedFds::Unwatch(unsigned first, unsigned last) {
  constexpr auto kLast = static_cast<unsigned>(Registry::kMaxDescriptor - 1);
  if (last > kLast) last = kLast;
  for (unsigned fd = first; fd <= last;) {
    if (pages_[fd / kPageEntries].load(std::memory_order_acquire) == nullptr) {
      fd = (fd / kPageEntries + 1) * kPageEntries;
    } else {
      Unwatch(static_cast<int>(fd++));
    }
  }
}

}  // namespace kevent::core
