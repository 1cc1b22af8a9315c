// SPDX-License-Identifier: MIT

#include "core/kevents/watched_fds.h"

#include "core/system/system.h"

namespace kevent::core {

constinit std::atomic<std::atomic<uint32_t>*>
    WatchedFds::pages_[Registry::kMaxDescriptor / kPageEntries] = {};

int WatchedFds::Add(int fd, uint32_t queue) {
  std::atomic<std::atomic<uint32_t>*>& page = pages_[fd / kPageEntries];
  if (page.load(std::memory_order_acquire) == nullptr) {
    constexpr size_t kBytes = kPageEntries * sizeof(std::atomic<uint32_t>);
    std::atomic<uint32_t>* fresh;
    const int error = sys::MapPages(kBytes, sys::OnFork::kWipe, &fresh);
    if (error < 0) return -error;
    std::atomic<uint32_t>* none = nullptr;
    if (!page.compare_exchange_strong(none, fresh)) {
      sys::UnmapPages(fresh, kBytes);
    }
  }
  std::atomic<uint32_t>& entry = *Entry(fd);
  uint32_t seen = 0;
  if (entry.compare_exchange_strong(seen, queue + 1) || seen == queue + 1) return 0;
  entry.store(kSeveral, std::memory_order_release);
  return 0;
}

void WatchedFds::Remove(int fd, uint32_t queue) {
  // With kSeveral it is not known if others still watch it.
  uint32_t one = queue + 1;
  if (std::atomic<uint32_t>* entry = Entry(fd); entry != nullptr) {
    entry->compare_exchange_strong(one, 0);
  }
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
