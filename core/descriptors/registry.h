// SPDX-License-Identifier: MIT
//
// The descriptor numbers that concern the library: the names of queues, which programs hold, and
// the numbers that the engine keeps for itself.
//
// The table is not wiped by fork, and is valid at every instant: a child reads in it which
// descriptors it has inherited.  All functions are async-signal-safe.
//
// The kernel gives a number before it can be registered, and dup2 takes any number that a program
// names, from any thread.  So the table counts the calls of dup2 that are on the way to each
// number, from before they look at its registration: a number that is registered while the count is
// zero is safe from calls that looked before, and calls that look later find the registration.

#ifndef KEVENT_CORE_DESCRIPTORS_REGISTRY_H_
#define KEVENT_CORE_DESCRIPTORS_REGISTRY_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

namespace kevent::core {

// The role of an internal number in its queue: one of these, or the number of the axis whose
// timerfd it is, the first one if there are two.
enum : uint16_t {
  kRoleEpoll = 0x100,
  kRoleAlwaysReady = 0x101,
  kRolePrivate = 0x102,      // of one sleeping call
  kRoleSource = 0x103,       // of the kevents
  kRoleProcess = 0x104,      // of no queue
  kRoleNew = 0x105,          // just made, and about to be moved out of the way
  kRoleLeft = 0x106,         // not used any more, and about to be replaced or closed
  kRoleMadeAndLeft = 0x107,  // as kRoleLeft, for a descriptor that was just made and has no mark
                             // yet
  kRoleTable = 0x108,        // of no queue: the pipe of one that was closed, kept for its lock
  kRoleSecondTimer = 0x109,  // the second timerfd on the monotonic clock
};

class Registration {
 public:
  Registration() = default;
  explicit Registration(uint32_t bits) : bits_(bits) {}
  static Registration Name(uint32_t queue) { return Registration(kNameBit | queue); }
  static Registration Internal(uint32_t queue, uint16_t role) {
    return Registration(kInternalBit | uint32_t{role} << 16 | queue);
  }

  // The number was registered, and is being closed: it is neither a name nor free.  Differs from
  // call to call, so that of two closes of one number each ends its own.
  static Registration Closing();

  bool none() const { return bits_ == 0; }
  bool is_name() const { return (bits_ & kNameBit) != 0; }
  bool is_internal() const { return (bits_ & kInternalBit) != 0; }
  // True for an internal number of the process's rather than of a queue's.
  bool is_of_process() const {
    return is_internal() && (role() == kRoleProcess || role() == kRoleTable);
  }
  bool is_left() const {
    return is_internal() && (role() == kRoleLeft || role() == kRoleMadeAndLeft);
  }
  uint32_t queue() const { return bits_ & 0xffff; }
  uint16_t role() const {
    return is_internal() ? static_cast<uint16_t>(bits_ >> 16 & 0x1ff) : uint16_t{0};
  }
  bool is_new() const { return is_internal() && role() == kRoleNew; }
  // True if its file has the mark, or had it: not for a descriptor that was just made.
  bool has_mark() const { return is_internal() && !is_new() && role() != kRoleMadeAndLeft; }
  bool is_closing() const { return (bits_ & kClosingBit) != 0; }
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
    const std::atomic<uint64_t>* entry = Entry(fd);
    return entry == nullptr ? Registration()
                            : State(entry->load(std::memory_order_seq_cst)).registration();
  }

  // Makes sure that the number can be registered: 0, EMFILE beyond kMaxDescriptor,
  // or another errno.
  static int Reserve(int fd);

  // True if nothing was ever registered.
  static bool empty() { return !any_.load(std::memory_order_seq_cst); }

  // Registers `by`, and returns what was registered before.  Without memory reserved for the number
  // it does nothing.
  static Registration Replace(int fd, Registration by);

  // Registers `to` if `from` is registered; true if it was.
  static bool Change(int fd, Registration from, Registration to);
  // Does what Change does, unless a call is about to replace the number.
  static bool ChangeUnreplaced(int fd, Registration from, Registration to);

  // Removes and returns the registration; of several callers one gets it.
  static Registration Take(int fd) { return Replace(fd, Registration()); }

  // The first number in [from, last] that is registered, or -1.
  static int Next(int from, int last);

  // ---- Numbers that are replaced, and numbers that are made ----

  // BeginReplacing: a call is about to put another file under a number; returns the registration.
  // EndReplacing: the call has done so or failed; counts the replacement if there was one.  See
  // Replacement, core/descriptors/replacement.h.
  static Registration BeginReplacing(int fd);
  static bool IsBeingReplaced(int fd) {
    const std::atomic<uint64_t>* entry = Entry(fd);
    return entry != nullptr && State(entry->load(std::memory_order_seq_cst)).replacing() != 0;
  }
  static void EndReplacing(int fd, bool replaced);

  // A thread is about to have the kernel make a descriptor, whose number it will know only then.
  // Until EndMaking no call begins to replace a number, if it can wait; while one waits,
  // threads that have yet to make a descriptor stand back.
  static void BeginMaking() { making_.fetch_add(1, std::memory_order_seq_cst); }
  static void EndMaking() { making_.fetch_sub(1, std::memory_order_seq_cst); }
  static bool NoneIsMade() { return making_.load(std::memory_order_seq_cst) == 0; }
  static void BeginWaiting() { waiting_.fetch_add(1, std::memory_order_seq_cst); }
  static void EndWaiting() { waiting_.fetch_sub(1, std::memory_order_seq_cst); }
  static bool NoneWaits() { return waiting_.load(std::memory_order_seq_cst) == 0; }

  // A moment, by the number of replacements before it.
  class Moment {
   private:
    friend class Registry;
    explicit Moment(uint32_t replacements) : replacements_(replacements) {}
    uint32_t replacements_;
  };
  static Moment Now() { return Moment(replacements_.load(std::memory_order_seq_cst)); }

  // Registers a number that the kernel has given since that moment.  If a call is about to replace
  // the number, it is registered as `left` to that call, or as one that may be a stranger's
  // already.
  struct Claim {
    Registration before;
    Registration after;
    bool being_replaced;  // a call may put another file there, now or soon
    bool replaced;        // a call has put another file there since that moment
  };
  static Claim ClaimNew(int fd, Registration registration, Registration left, Moment since);

  // Called in a child of fork, where none of the parent's calls goes on.
  static void ForgetCalls();

 private:
  // An entry: the registration; within it the count of calls that are about to replace the number,
  // which stays at its limit once it reaches it; and, in the upper half, the serial number of this
  // number's last replacement.
  class State {
   public:
    explicit State(uint64_t bits) : bits_(bits) {}
    Registration registration() const {
      return Registration(static_cast<uint32_t>(bits_) & ~kReplacing);
    }
    uint32_t replacing() const { return static_cast<uint32_t>(bits_) & kReplacing; }
    uint32_t replaced() const { return static_cast<uint32_t>(bits_ >> 32); }
    uint64_t With(Registration registration) const {
      return (bits_ & ~uint64_t{~kReplacing}) | registration.bits();
    }
    uint64_t WithReplacing(uint32_t replacing) const {
      return (bits_ & ~uint64_t{kReplacing}) | replacing;
    }
    static uint64_t WithReplaced(uint64_t bits, uint32_t replaced) {
      return (bits & UINT32_MAX) | uint64_t{replaced} << 32;
    }

    static constexpr uint32_t kOneReplacing = 1u << 25;
    static constexpr uint32_t kReplacing = 0xfu << 25;

   private:
    uint64_t bits_;
  };

  static constexpr int kPageEntries = 1024;
  static std::atomic<std::atomic<uint64_t>*> pages_[kMaxDescriptor / kPageEntries];
  static std::atomic<int> pages_end_;  // there are no pages from here on
  static std::atomic<bool> any_;
  static std::atomic<uint32_t> replacements_;
  static std::atomic<uint32_t> making_;
  static std::atomic<uint32_t> waiting_;  // calls that wait until none is made

  static std::atomic<uint64_t>* Entry(int fd) {
    if (ABSL_PREDICT_FALSE(fd < 0 || fd >= kMaxDescriptor)) return nullptr;
    std::atomic<uint64_t>* page = pages_[fd / kPageEntries].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : page + fd % kPageEntries;
  }
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_REGISTRY_H_
