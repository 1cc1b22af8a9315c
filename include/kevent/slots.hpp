// SPDX-License-Identifier: MIT
//
// Where callbacks live, so that no object is destroyed under a collector (internal).
//
// An event carries a cookie, and can be in a batch of some thread when its object is
// destroyed.  So the cookie of an object with a callback is no pointer to the object: it names
// a slot of the queue, and the generation of the slot.  The memory of slots is freed with the
// queue's; the generation changes when the slot is given up.  A collector looks the slot up and
// enters it by one compare-and-swap, which fails if the object is gone:
//
//   - a slot is entered by one thread at a time: callbacks of one object never overlap.  An
//     event that comes meanwhile is merged into `pending`, and the thread inside runs it;
//   - whoever gives a slot up waits until no other thread is inside, as the destructor of
//     std::stop_callback does.  In its own callback it does not wait, and the thread inside
//     frees the slot when the callback has returned;
//   - an event that was collected before its object was set anew is dropped (`stamp`).
//
// Nothing here takes a lock or allocates memory, except that taking a slot may allocate more of
// them.  What other threads were doing when the process forked is left as it is in the child.
#ifndef KEVENT_SLOTS_HPP_
#define KEVENT_SLOTS_HPP_

#include <pthread.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <kevent/event.hpp>
#include <new>
#include <span>
#include <utility>

namespace kevent::detail {

// How often the process has forked, in the line of this process.
inline std::atomic<std::uint32_t> forks{0};

inline void count_forks() noexcept {
  static const int registered = pthread_atfork(
      nullptr, nullptr, [] { forks.store(forks.load(std::memory_order_relaxed) + 1); });
  static_cast<void>(registered);
}

class Slots;

struct alignas(64) Slot {
  // Flags of `word`, below the generation.
  static constexpr std::uint64_t live = 1;      // its object has not given it up
  static constexpr std::uint64_t running = 2;   // a thread is inside
  static constexpr std::uint64_t pending = 4;   // `event` is to be run by the thread inside,
  static constexpr std::uint64_t listed = 8;    // or by whoever takes it from the list
  static constexpr std::uint64_t locked = 16;   // `event` is being written or read, for a moment
  static constexpr std::uint64_t awaited = 32;  // its object waits for `running` to end

  std::atomic<std::uint64_t> word{0};
  std::atomic<std::uint64_t> stamp{0};  // the batch before which its object was set last
  std::atomic<pthread_t> runner{};      // the thread inside
  std::atomic<std::uint32_t> runner_forks{0};
  std::atomic<std::uint32_t> next{0};  // in a list, the number of the next slot
  std::uint32_t index = 0;
  Slots* home = nullptr;
  void (*call)(void* target, const ukevent& event) = nullptr;
  void (*drop)(void* target) = nullptr;
  void* target = nullptr;
  ukevent event;
  std::uint64_t batch = 0;  // that `event` was in
  alignas(std::max_align_t) std::array<std::byte, 48> storage;

  void end_callback() noexcept {
    if (drop != nullptr) std::exchange(drop, nullptr)(target);
  }
};

// A slot is locked for some instructions, while `event` is written or read.
inline std::uint64_t await_unlocked(const Slot& slot) noexcept {
  std::uint64_t word = slot.word.load(std::memory_order_acquire);
  while ((word & Slot::locked) != 0) {
    // Not by yielding, which a thread of a lower priority would gain nothing by.
    slot.word.wait(word, std::memory_order_acquire);
    word = slot.word.load(std::memory_order_acquire);
  }
  return word;
}

// Changes the flags, `locked` among them.
inline void unlock(Slot& slot, std::uint64_t flags) noexcept {
  slot.word.fetch_xor(flags, std::memory_order_release);
  slot.word.notify_all();
}

inline bool change(Slot& slot, std::uint64_t& word, std::uint64_t changed) noexcept {
  return slot.word.compare_exchange_weak(word, changed, std::memory_order_acq_rel,
                                         std::memory_order_acquire);
}

// A list of slots by their numbers.  The count of changes beside the number keeps a slot that
// was taken and put back meanwhile from being taken for the one that was there before.
class SlotList {
 public:
  bool empty() const noexcept { return number(head_.load(std::memory_order_relaxed)) == none; }
  void clear() noexcept { head_.store(none, std::memory_order_relaxed); }

  void push(Slot& slot) noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    do {
      slot.next.store(number(head), std::memory_order_relaxed);
    } while (!head_.compare_exchange_weak(head, changed(head) | slot.index,
                                          std::memory_order_release, std::memory_order_relaxed));
  }

  template <class At>
  Slot* pop(At&& at) noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    while (number(head) != none) {
      Slot& slot = *at(number(head));
      const std::uint64_t next = changed(head) | slot.next.load(std::memory_order_relaxed);
      if (head_.compare_exchange_weak(head, next, std::memory_order_acquire,
                                      std::memory_order_acquire)) {
        return &slot;
      }
    }
    return nullptr;
  }

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  static std::uint32_t number(std::uint64_t head) noexcept {
    return static_cast<std::uint32_t>(head);
  }
  static std::uint64_t changed(std::uint64_t head) noexcept { return ((head >> 32) + 1) << 32; }

  std::atomic<std::uint64_t> head_{none};
};

// The slots of a queue, and what else its objects and collectors share.  It lives as long as the
// queue or one of the objects.
class Slots {
 public:
  explicit Slots(int fd) noexcept : fd_(fd), forks_(forks.load(std::memory_order_relaxed)) {}
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // The queue's descriptor, -1 once the queue is closed.
  int fd() const noexcept { return fd_.load(std::memory_order_relaxed); }
  void close() noexcept {
    fd_.store(-1, std::memory_order_relaxed);
    empty_list();
  }

  // A slot that no event finds yet; null without memory.
  Slot* take() noexcept;
  // From here on events find it, by its cookie.
  static void publish(Slot& slot) noexcept {
    slot.word.fetch_or(Slot::live, std::memory_order_release);
  }
  static void* cookie(const Slot& slot) noexcept {
    const std::uint64_t bits =
        tag | generation_bits(slot.word.load(std::memory_order_relaxed)) | slot.index;
    return reinterpret_cast<void*>(bits);
  }
  // When it returns no other thread is inside and none enters, unless wait is false.
  static void give_up(Slot& slot, bool wait = true) noexcept;
  // A slot that was not published.
  static void put_back(Slot& slot) noexcept { slot.home->recycle(slot); }
  // Events that are in a batch by now are of the old setting.
  static void renew(Slot& slot) noexcept {
    slot.stamp.store(slot.home->batches_.load(std::memory_order_relaxed),
                     std::memory_order_release);
  }

  // Runs the callbacks of the events of one batch, hands the others to `other`, and returns how
  // many callbacks have run.  When one throws, the events after it go to the list.
  template <class Other>
  std::size_t dispatch(std::span<const ukevent> events, Other&& other);
  // Runs what such an exception has left.
  std::size_t dispatch_left();

  std::atomic<bool> stopped{false};
  std::atomic<std::uint32_t> loops{0};  // calls that stop() has to end

 private:
  // Cookies of slots: a bit that no address has, 31 bits of generation, the slot's number.
  static constexpr std::uint64_t tag = std::uint64_t{1} << 63;
  static constexpr unsigned first_bits = 6;
  static constexpr std::uint32_t first = 1U << first_bits;  // slots in the first block
  static constexpr unsigned blocks = 26;

  // Bits 32 to 62 of a cookie and of a word.
  static std::uint64_t generation_bits(std::uint64_t bits) noexcept {
    return bits & 0x7fffffff00000000;
  }

  // Which block a slot is in, and where; the block has as many slots as come before it, and 64.
  struct Place {
    explicit Place(std::uint32_t index) noexcept
        : block(static_cast<unsigned>(31 - std::countl_zero(index + first)) - first_bits),
          size(first << block),
          offset(index + first - size) {}
    std::uint32_t block;
    std::uint32_t size;
    std::uint32_t offset;
  };
  Slot* at(std::uint32_t index) const noexcept {
    const Place place(index);
    return blocks_[place.block].load(std::memory_order_acquire) + place.offset;
  }
  // Null if the event is of no slot, of this queue or at all.
  Slot* find(const ukevent& event) const noexcept {
    const auto bits = reinterpret_cast<std::uint64_t>(event.ptr);
    const auto index = static_cast<std::uint32_t>(bits);
    if ((bits & tag) == 0 || index >= size_.load(std::memory_order_acquire)) return nullptr;
    return at(index);
  }

  class Turn;
  enum class Entry { kInside, kMerged, kGone };
  static Entry enter(Slot& slot, const ukevent& event, std::uint64_t batch) noexcept;
  static void take_in(Slot& slot, const ukevent& event, std::uint64_t batch, bool pending) noexcept;
  static void now_inside(Slot& slot) noexcept;
  bool leave(Slot& slot, ukevent& next) noexcept;
  void leave_by_exception(Slot& slot) noexcept;
  void finish(Slot& slot, std::uint64_t word) noexcept;
  void put_on_list(Slot& slot, const ukevent& event, std::uint64_t batch) noexcept;
  std::size_t run(Slot& slot, const ukevent& event);
  void recycle(Slot& slot) noexcept {
    set_free(slot);
    release();
  }
  // Recycles a slot in a function of the queue, which has a hold of its own.
  void recycle_in_queue(Slot& slot) noexcept {
    set_free(slot);
    holders_.fetch_sub(1, std::memory_order_release);
  }
  void set_free(Slot& slot) noexcept;
  Slot* pop_left() noexcept {
    return left_.pop([this](std::uint32_t index) { return at(index); });
  }
  void empty_list() noexcept;
  void leave_rest(std::span<const ukevent> events, std::uint64_t batch) noexcept;
  void forget_parents_list() noexcept {
    const std::uint32_t now = forks.load(std::memory_order_relaxed);
    if (forks_.load(std::memory_order_relaxed) != now) [[unlikely]] {
      forks_.store(now, std::memory_order_relaxed);
      left_.clear();
    }
  }
  void wake() noexcept { kevent_ctl(fd(), KEVENT_CTL_READY, 0, nullptr); }

  ~Slots() {
    for (std::atomic<Slot*>& block : blocks_) delete[] block.load(std::memory_order_relaxed);
  }

  std::atomic<int> fd_;
  std::atomic<std::uint32_t> forks_;
  std::atomic<std::uint32_t> holders_{1};
  std::atomic<std::uint32_t> size_{0};
  std::atomic<std::uint64_t> batches_{0};
  SlotList free_;
  SlotList left_;
  std::array<std::atomic<Slot*>, blocks> blocks_{};
};

inline Slot* Slots::take() noexcept {
  Slot* slot = free_.pop([this](std::uint32_t index) { return at(index); });
  while (slot == nullptr) {
    std::uint32_t index = size_.load(std::memory_order_acquire);
    if (index > UINT32_MAX - first) return nullptr;
    const Place place(index);
    std::atomic<Slot*>& block = blocks_[place.block];
    if (block.load(std::memory_order_acquire) == nullptr) {
      Slot* made = new (std::nothrow) Slot[place.size];
      if (made == nullptr) return nullptr;
      Slot* none = nullptr;
      if (!block.compare_exchange_strong(none, made, std::memory_order_acq_rel)) delete[] made;
    }
    if (size_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel)) {
      slot = at(index);
      slot->index = index;
      slot->home = this;
    }
  }
  slot->drop = nullptr;
  // Before any thread is inside: whoever gives it up then takes that thread for one of this
  // process.
  slot->runner_forks.store(forks.load(std::memory_order_relaxed), std::memory_order_relaxed);
  hold();
  return slot;
}

// The slot's callback is no more, and its cookie is nobody's.
inline void Slots::set_free(Slot& slot) noexcept {
  slot.end_callback();
  const std::uint64_t generation =
      generation_bits(slot.word.load(std::memory_order_relaxed)) + (std::uint64_t{1} << 32);
  slot.word.store(generation_bits(generation), std::memory_order_release);
  // One whose generations are used up is never taken again.
  if (generation_bits(generation) != 0) free_.push(slot);
}

inline void Slots::give_up(Slot& slot, bool wait) noexcept {
  std::uint64_t word = slot.word.load(std::memory_order_acquire);
  for (;;) {
    if ((word & Slot::running) != 0) {
      const bool own = slot.runner.load(std::memory_order_relaxed) == pthread_self();
      // A thread of the parent's: here its callback never ends, nor does the slot.
      const bool parents = slot.runner_forks.load(std::memory_order_relaxed) !=
                           forks.load(std::memory_order_relaxed);
      if (!wait || own || parents) {
        // The thread inside recycles it.
        if (change(slot, word, word & ~Slot::live)) return;
      } else if (change(slot, word, (word & ~Slot::live) | Slot::awaited)) {
        while (((word = slot.word.load(std::memory_order_acquire)) & Slot::running) != 0) {
          slot.word.wait(word, std::memory_order_acquire);
        }
        slot.home->recycle(slot);
        return;
      }
    } else if ((word & Slot::locked) != 0) {
      word = await_unlocked(slot);
    } else if ((word & Slot::listed) == 0) {
      if (!change(slot, word, word & ~Slot::live)) continue;
      slot.home->recycle(slot);
      return;
    } else if (change(slot, word, (word & ~(Slot::live | Slot::pending)) | Slot::running)) {
      // On a list it keeps its generation, and no callback.
      slot.end_callback();
      if ((slot.word.fetch_and(~Slot::running, std::memory_order_acq_rel) & Slot::listed) == 0) {
        slot.home->recycle(slot);
      }
      return;
    }
  }
}

// When the queue goes, nobody comes for what an exception has left.
inline void Slots::empty_list() noexcept {
  forget_parents_list();
  while (Slot* const slot = pop_left()) {
    const std::uint64_t word =
        slot->word.fetch_and(~(Slot::listed | Slot::pending), std::memory_order_acq_rel);
    if ((word & (Slot::live | Slot::running)) == 0) recycle_in_queue(*slot);
  }
}

}  // namespace kevent::detail

#endif  // KEVENT_SLOTS_HPP_
