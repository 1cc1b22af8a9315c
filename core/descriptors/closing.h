// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DESCRIPTORS_CLOSING_H_
#define KEVENT_CORE_DESCRIPTORS_CLOSING_H_

#include <atomic>
#include <cstdint>

namespace kevent::core {

// Says for its lifetime that a thread is about to close numbers, and closes them.  The thread asks
// if a number is watched, or takes it out, and then makes its system call; no thread may begin to
// watch the number in between: afterwards no thread could take it out.
class Closing {
 public:
  explicit Closing(int fd) : Closing(fd < 0 ? 0 : Number(fd)) {}
  // Closes a range.
  Closing(unsigned first, unsigned last) : Closing(first <= last ? kAny : 0) {}
  ~Closing() {
    uint64_t own = own_;
    if (slot_ != nullptr) slot_->compare_exchange_strong(own, 0, std::memory_order_seq_cst);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;

  // True if a thread of this process closes the number.
  static bool Any(int fd) { return Find(fd) != nullptr; }
  // Waits for the calls that have begun before to close the number, for some milliseconds: a call
  // that takes longer was left by siglongjmp, or lingers over a file that no number names any more,
  // as a rule.  It may also be a thread that had no processor for so long: kevent(7), BUGS.
  static void Await(int fd);
  // Waits, no longer than that, for the calls of dup2 that have begun before and whose number the
  // kernel could give while they are on the way.
  static void AwaitReplacements();

 private:
  // A thread's number plus one and, above it, its process: in a child of fork the parent's threads
  // do not count.
  using Slot = std::atomic<uint64_t>;
  static constexpr uint32_t kAny = UINT32_MAX;
  static constexpr unsigned kSlots = 64;
  static constexpr unsigned kWindow = 4;  // places for the numbers of one remainder, and for ranges
  static constinit Slot slots_[kSlots];

  static uint32_t Number(int fd) { return static_cast<uint32_t>(fd) + 1; }
  static unsigned First(uint32_t number) {
    return number == kAny ? 0 : number % (kSlots / kWindow - 1) * kWindow + kWindow;
  }
  static Slot* Find(int fd);
  static void AwaitReplacement(Slot* slot, uint64_t seen, uint32_t process);
  explicit Closing(uint32_t number);

  Slot* slot_ = nullptr;
  uint64_t own_ = 0;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_CLOSING_H_
