// SPDX-License-Identifier: MIT
//
// Which numbers of the program's descriptors kevents watch.  epoll lets go of a
// file when its last descriptor is closed, so a number that is closed while there
// is another one for its file must be taken out before: afterwards nobody can.
//
// Whoever adds a number is under its queue's lock; the rest is async-signal-safe.

#ifndef KEVENT_CORE_KEVENTS_WATCHED_FDS_H_
#define KEVENT_CORE_KEVENTS_WATCHED_FDS_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

#include "core/descriptors/registry.h"

namespace kevent::core {

class Watched {
 public:
  // A queue is about to watch a number below Registry::kMaxDescriptor: 0 or an errno.
  static int Add(int fd, uint32_t queue);
  // It watches it no more.
  static void Remove(int fd, uint32_t queue);

  static bool Is(int fd) { return Get(fd) != 0; }
  // This queue does, or perhaps it and others.
  static bool Is(int fd, uint32_t queue) {
    const uint32_t watching = Get(fd);
    return watching == queue + 1 || watching == kSeveral;
  }

  // The program is about to close these: nothing watches them any more.
  static void LetGo(unsigned first, unsigned last);
  static void LetGo(int fd) {
    if (ABSL_PREDICT_FALSE(Is(fd))) LetGoOf(fd);
  }

 private:
  static constexpr uint32_t kSeveral = UINT32_MAX;
  static constexpr int kPageEntries = 1024;
  // Wiped by fork, whose child has queues of its own.  The queue that watches a
  // number, plus one; kSeveral; or 0.
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
  static void LetGoOf(int fd);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_WATCHED_FDS_H_
