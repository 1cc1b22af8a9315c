// SPDX-License-Identifier: MIT
//
// How a collector runs the callbacks of its events: the other half of slots.hpp (internal).
#ifndef KEVENT_DISPATCH_HPP_
#define KEVENT_DISPATCH_HPP_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <kevent/slots.hpp>
#include <span>

namespace kevent::detail {

// Events of one object that came while its callback was running are one event for it.
inline void merge(ukevent& sum, const ukevent& event) noexcept {
  if (event.type == KEVENT_POSIX_TIMER) {
    const std::uint64_t overruns = std::uint64_t{sum.ret_data[0]} + event.ret_data[0] + 1;
    sum.ret_data[0] = static_cast<std::uint32_t>(std::min<std::uint64_t>(overruns, INT32_MAX));
    sum.ret_data[1] = event.ret_data[1];
  } else if (event.type == KEVENT_SIGNAL) {
    sum.ret_data[0] += event.ret_data[0];
    sum.ret_data[1] = event.ret_data[1];
  } else {
    sum.ret_flags |= event.ret_flags;
    sum.ret_data[0] |= event.ret_data[0];
    sum.ret_data[1] |= event.ret_data[1];
  }
}

// Has an event wait in the slot, which is locked.  Of the one that waits there (`pending`) and the
// new one, either may have come before the object was set anew: that one does not count.
inline void Slots::take_in(Slot& slot, const ukevent& event, std::uint64_t batch,
                           bool pending) noexcept {
  const std::uint64_t stamp = slot.stamp.load(std::memory_order_acquire);
  if (!pending || stamp > slot.batch) {
    slot.event = event;
    slot.batch = batch;
  } else if (stamp <= batch) {
    merge(slot.event, event);
    slot.batch = std::max(slot.batch, batch);
  }
}

inline void Slots::now_inside(Slot& slot) noexcept {
  slot.runner.store(pthread_self(), std::memory_order_relaxed);
  slot.runner_forks.store(forks.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

inline Slots::Entry Slots::enter(Slot& slot, const ukevent& event, std::uint64_t batch) noexcept {
  const std::uint64_t generation = generation_bits(reinterpret_cast<std::uint64_t>(event.ptr));
  std::uint64_t word = slot.word.load(std::memory_order_acquire);
  for (;;) {
    if (generation_bits(word) != generation || (word & Slot::live) == 0) return Entry::kGone;
    if ((word & Slot::locked) != 0) {
      word = await_unlocked(slot);
    } else if ((word & (Slot::running | Slot::pending)) == 0) {
      if (!change(slot, word, word | Slot::running)) continue;
      return Entry::kInside;
    } else if (change(slot, word, word | Slot::locked)) {
      take_in(slot, event, batch, (word & Slot::pending) != 0);
      unlock(slot, (Slot::locked | Slot::pending) & ~(word & Slot::pending));
      return Entry::kMerged;
    }
  }
}

// Nobody is inside any more: `word` is what the slot had before.
inline void Slots::finish(Slot& slot, std::uint64_t word) noexcept {
  if ((word & Slot::awaited) != 0) {
    slot.word.notify_all();  // and the thread that waits recycles it
  } else if ((word & Slot::live) == 0) {
    recycle_in_queue(slot);
  }
}

// False if there is nothing more to run, and the caller is no longer inside.
inline bool Slots::leave(Slot& slot, ukevent& next) noexcept {
  constexpr std::uint64_t more = Slot::live | Slot::pending;
  std::uint64_t word = await_unlocked(slot);
  for (;;) {
    if ((word & Slot::locked) != 0) {
      word = await_unlocked(slot);
    } else if ((word & more) == more) {
      if (!change(slot, word, word | Slot::locked)) continue;
      const bool old = slot.stamp.load(std::memory_order_acquire) > slot.batch;
      next = slot.event;
      unlock(slot, Slot::locked | Slot::pending);
      if (!old) return true;
      word = await_unlocked(slot);
    } else {
      // Before another thread can be inside, and take itself for this one.
      slot.runner.store(pthread_t{}, std::memory_order_relaxed);
      if (change(slot, word, word & ~(Slot::running | Slot::pending | Slot::awaited))) {
        finish(slot, word);
        return false;
      }
    }
  }
}

inline void Slots::leave_by_exception(Slot& slot) noexcept {
  constexpr std::uint64_t more = Slot::live | Slot::pending;
  std::uint64_t word = await_unlocked(slot);
  for (;;) {
    if ((word & Slot::locked) != 0) {
      word = await_unlocked(slot);
      continue;
    }
    const bool left = (word & more) == more;
    slot.runner.store(pthread_t{}, std::memory_order_relaxed);
    const std::uint64_t changed = left ? (word & ~Slot::running) | Slot::listed
                                       : word & ~(Slot::running | Slot::pending | Slot::awaited);
    if (!change(slot, word, changed)) continue;
    if (left) {
      forget_parents_list();
      left_.push(slot);
      wake();
    } else {
      finish(slot, word);
    }
    return;
  }
}

inline void Slots::put_on_list(Slot& slot, const ukevent& event, std::uint64_t batch) noexcept {
  const std::uint64_t generation = generation_bits(reinterpret_cast<std::uint64_t>(event.ptr));
  std::uint64_t word = slot.word.load(std::memory_order_acquire);
  for (;;) {
    if (generation_bits(word) != generation || (word & Slot::live) == 0) return;
    if ((word & Slot::locked) != 0) {
      word = await_unlocked(slot);
      continue;
    }
    if (!change(slot, word, word | Slot::locked)) continue;
    take_in(slot, event, batch, (word & Slot::pending) != 0);
    // With `pending` it is on the list, or a thread inside sees it.
    const bool push = (word & (Slot::running | Slot::pending)) == 0;
    unlock(slot,
           ((Slot::locked | Slot::pending) & ~(word & Slot::pending)) | (push ? Slot::listed : 0));
    if (push) left_.push(slot);
    return;
  }
}

inline void Slots::leave_rest(std::span<const ukevent> events, std::uint64_t batch) noexcept {
  forget_parents_list();
  // The last in is the first out.
  for (std::size_t i = events.size(); i-- > 0;) {
    if (Slot* slot = find(events[i])) put_on_list(*slot, events[i], batch);
  }
  wake();
}

// Inside a slot, until the callback has returned or thrown.
class Slots::Turn {
 public:
  Turn(Slots& slots, Slot& slot) noexcept : slots_(slots), slot_(&slot) {}
  ~Turn() {
    if (slot_ != nullptr) slots_.leave_by_exception(*slot_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  bool next(ukevent& event) noexcept {
    if (slots_.leave(*slot_, event)) return true;
    slot_ = nullptr;
    return false;
  }

 private:
  Slots& slots_;
  Slot* slot_;
};

inline std::size_t Slots::run(Slot& slot, const ukevent& event) {
  Turn turn(*this, slot);
  std::size_t count = 0;
  ukevent merged;
  const ukevent* next = &event;
  do {
    // Whenever the callback runs, its own thread is known as the one inside.
    now_inside(slot);
    slot.call(slot.target, *next);
    next = &merged;
    ++count;
  } while (turn.next(merged));
  return count;
}

template <class Other>
std::size_t Slots::dispatch(std::span<const ukevent> events, Other&& other) {
  struct Rest {
    Slots& slots;
    std::span<const ukevent> events;
    std::uint64_t batch;
    ~Rest() {
      if (!events.empty()) slots.leave_rest(events, batch);
    }
  };
  Rest rest{*this, events, batches_.fetch_add(1, std::memory_order_acq_rel)};
  std::size_t count = 0;
  while (!rest.events.empty()) {
    const ukevent& event = rest.events.front();
    rest.events = rest.events.subspan(1);
    Slot* const slot = find(event);
    if (slot == nullptr) {
      other(event);
    } else if (slot->stamp.load(std::memory_order_acquire) <= rest.batch &&
               enter(*slot, event, rest.batch) == Entry::kInside) {
      count += run(*slot, event);
    }
  }
  return count;
}

inline std::size_t Slots::dispatch_left() {
  forget_parents_list();
  if (left_.empty()) [[likely]] {
    return 0;
  }
  // An exception leaves the rest to another thread.
  struct Rest {
    Slots& slots;
    ~Rest() {
      if (!slots.left_.empty()) slots.wake();
    }
  };
  const Rest rest{*this};
  std::size_t count = 0;
  while (Slot* const slot = pop_left()) {
    std::uint64_t word = await_unlocked(*slot);
    for (;;) {
      if ((word & Slot::locked) != 0) {
        word = await_unlocked(*slot);
      } else if ((word & Slot::live) == 0) {
        if (!change(*slot, word, word & ~Slot::listed)) continue;
        if ((word & Slot::running) == 0) recycle_in_queue(*slot);
        break;
      } else if (change(*slot, word,
                        (word & ~(Slot::listed | Slot::pending)) | Slot::running | Slot::locked)) {
        const bool old = slot->stamp.load(std::memory_order_acquire) > slot->batch;
        ukevent event = slot->event;
        unlock(*slot, Slot::locked);
        if (!old || leave(*slot, event)) count += run(*slot, event);
        break;
      }
    }
  }
  return count;
}

}  // namespace kevent::detail

#endif  // KEVENT_DISPATCH_HPP_
