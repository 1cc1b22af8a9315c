// SPDX-License-Identifier: MIT
//
// Which numbers of the program's descriptors kevents watch.  epoll lets go of a
// file when its last descriptor is closed, so a number that is closed while there
// is another one for its file must be taken out before: afterwards nobody can.
//
// Whoever adds a number is under its queue's lock; the rest is async-signal-safe.

#ifndef KEVENT_CORE_WATCHED_H_
#define KEVENT_CORE_WATCHED_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

#include "core/registry.h"

namespace kevent::core {

// A thread is about to close numbers, and does so in its lifetime.  Between its question
// whether they are watched, or its taking them out, and the end of its system call
// nobody may begin to watch them: afterwards nobody could take them out.
class Closing {
 public:
  explicit Closing(int fd) : Closing(fd < 0 ? 0 : Number(fd)) {}
  // Of a range.
  Closing(unsigned first, unsigned last) : Closing(first <= last ? kAny : 0) {}
  ~Closing() {
    uint64_t own = own_;
    if (slot_ != nullptr) slot_->compare_exchange_strong(own, 0, std::memory_order_seq_cst);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;

  // True if a thread of this process closes it.
  static bool Any(int fd) { return Find(fd) != nullptr; }
  // Waits until none does that has begun before, for some milliseconds: one that takes
  // longer was cancelled, or closes for so long what no number names any more.
  static void Await(int fd);
  // Waits, no longer than that, for the calls of dup2 that have begun before and whose
  // number the kernel could give while they are on the way.
  static void AwaitReplacements();

 private:
  // A thread's number plus one and, above it, its process: of a child of fork the
  // parent's threads are none.
  using Slot = std::atomic<uint64_t>;
  static constexpr uint32_t kAny = UINT32_MAX;
  static constexpr unsigned kSlots = 64;
  static constexpr unsigned kWindow = 4;  // for numbers of one remainder, and for ranges
  static constinit Slot slots_[kSlots];

  static uint32_t Number(int fd) { return static_cast<uint32_t>(fd) + 1; }
  static unsigned First(uint32_t number) {
    return number == kAny ? 0 : number % (kSlots / kWindow - 1) * kWindow + kWindow;
  }
  static Slot* Find(int fd);
  static void AwaitReplacement(Slot* slot, uint32_t process);
  explicit Closing(uint32_t number);

  Slot* slot_ = nullptr;
  uint64_t own_ = 0;
};

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

#endif  // KEVENT_CORE_WATCHED_H_
