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

  static bool Is(int fd) { return Get(fd) != 0; }
  // True if this queue watches the number, or perhaps several do.
  static bool Is(int fd, uint32_t queue) {
    const uint32_t watching = Get(fd);
    return watching == queue + 1 || watching == kSeveral;
  }

  // The program is about to close these numbers: takes them out of all epolls.
  static void Unwatch(unsigned first, unsigned last);
  static void Unwatch(int fd) {
    if (ABSL_PREDICT_FALSE(Is(fd))) UnwatchOf(fd);
  }

 private:
  static constexpr uint32_t kSeveral = UINT32_MAX;
  static constexpr int kPageEntries = 1024;
  // The queue that watches a number, plus one; kSeveral; or 0.  Wiped by fork, whose child has
  // queues of its own.
  static std::atomic<std::atomic<uint32_t>*> pages_[Registry::kMaxDescriptor / kPageEntries];

  static std::atomic<uint32_t>* Entry(int fd) {
    if (ABSL_PREDICT_FALSE(fd < 0 || fd >= Registry::kMaxDescriptor)) return nullptr;
    std::atomic<uint32_t>* page = pages_[fd / kPageEntries].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : page + fd % kPageEntries;
  }
  static uint32_t Get(int fd) {
    const std::atomic<uint32_t>* entry = Entry(fd);
    return entry == nullptr ? 0 : entry->load(std::memory_order_seq_cst);
  }
  static void UnwatchOf(int fd);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_WATCHED_FDS_H_
