// SPDX-License-Identifier: MIT
//
// Which descriptor numbers are ours: the names of queues, which programs hold,
// and the numbers that the engine keeps for itself.
//
// The table is not wiped by fork, and is valid at every instant: a child reads
// in it what it has inherited.  All functions are async-signal-safe.

#ifndef KEVENT_CORE_REGISTRY_H_
#define KEVENT_CORE_REGISTRY_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

namespace kevent::core {

// What an internal number is to its queue: one of these, or the number of the
// axis whose timerfd it is.
enum : uint16_t {
  kRoleEpoll = 0x100,
  kRoleAlwaysReady = 0x101,
  kRolePrivate = 0x102,  // of one sleeping call
  kRoleSource = 0x103,   // of the kevents
  kRoleProcess = 0x104,  // of no queue
};

class Registration {
 public:
  Registration() = default;
  explicit Registration(uint32_t bits) : bits_(bits) {}
  static Registration Name(uint32_t queue) { return Registration(kNameBit | queue); }
  static Registration Internal(uint32_t queue, uint16_t role) {
    return Registration(kInternalBit | uint32_t{role} << 16 | queue);
  }

  // Was a name, and is being closed: neither a name nor none.
  static Registration Closing() { return Registration(kClosingBit); }

  bool none() const { return bits_ == 0; }
  bool is_name() const { return (bits_ & kNameBit) != 0; }
  bool is_internal() const { return (bits_ & kInternalBit) != 0; }
  uint32_t queue() const { return bits_ & 0xffff; }
  uint16_t role() const { return static_cast<uint16_t>(bits_ >> 16 & 0x1ff); }
  bool is_closing() const { return bits_ == kClosingBit; }
  uint32_t bits() const { return bits_; }

 private:
  static constexpr uint32_t kNameBit = 1u << 31;
  static constexpr uint32_t kInternalBit = 1u << 30;
  static constexpr uint32_t kClosingBit = 1u << 29;
  uint32_t bits_ = 0;
};

class Registry {
 public:
  // Numbers from here on cannot be registered.
  static constexpr int kMaxDescriptor = 1 << 20;

  static Registration Get(int fd) {
    const std::atomic<uint32_t>* entry = Entry(fd);
    return entry == nullptr ? Registration() : Registration(entry->load(std::memory_order_acquire));
  }

  // Makes sure that Set(fd) will succeed: 0, EMFILE beyond kMaxDescriptor, or
  // ENOMEM.
  static int Reserve(int fd);

  // Requires that the number was reserved.
  static void Set(int fd, Registration registration) {
    Entry(fd)->store(registration.bits(), std::memory_order_release);
  }

  // Registers what is said, and gives what was registered before.
  static Registration Replace(int fd, Registration by) { return Exchange(fd, by); }

  // The same if `from` is registered; whether it was.
  static bool Change(int fd, Registration from, Registration to) {
    std::atomic<uint32_t>* entry = Entry(fd);
    uint32_t bits = from.bits();
    return entry != nullptr &&
           entry->compare_exchange_strong(bits, to.bits(), std::memory_order_acq_rel);
  }

  // Removes what is registered; of several callers one gets it.
  static Registration Take(int fd) { return Exchange(fd, Registration()); }

  // The same for a number that is about to be closed: until EndClose, calls that
  // still use it find that it names a queue no more, rather than a stranger.
  static Registration BeginClose(int fd) { return Exchange(fd, Registration::Closing()); }
  static void EndClose(int fd) {
    // Not if the number was given to another queue meanwhile.
    Change(fd, Registration::Closing(), Registration());
  }

  // The first number in [from, last] that is registered, or -1.
  static int Next(int from, int last);

 private:
  static constexpr int kPageEntries = 1024;
  static std::atomic<std::atomic<uint32_t>*> pages_[kMaxDescriptor / kPageEntries];

  static Registration Exchange(int fd, Registration by) {
    std::atomic<uint32_t>* entry = Entry(fd);
    return entry == nullptr ? Registration()
                            : Registration(entry->exchange(by.bits(), std::memory_order_acq_rel));
  }

  static std::atomic<uint32_t>* Entry(int fd) {
    if (ABSL_PREDICT_FALSE(fd < 0 || fd >= kMaxDescriptor)) return nullptr;
    std::atomic<uint32_t>* page = pages_[fd / kPageEntries].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : page + fd % kPageEntries;
  }
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_REGISTRY_H_
