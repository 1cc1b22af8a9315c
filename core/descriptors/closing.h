// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DESCRIPTORS_CLOSING_H_
#define KEVENT_CORE_DESCRIPTORS_CLOSING_H_

#include <atomic>
#include <cstdint>

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

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_CLOSING_H_
