// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_TIMERS_SLOT_STOCK_H_
#define KEVENT_CORE_TIMERS_SLOT_STOCK_H_

#include <atomic>
#include <cstdint>

namespace kevent::core {

// Slots that a queue has ready, so that timer_create takes one without a lock: it does not wait for
// a collector, which may be telling the kernel of a deadline, nor does a collector wait for it.
//
// Zeroed memory is an empty stock.
class SlotStock {
 public:
  static constexpr uint32_t kSize = 32;

  // Takes a slot; false if there is none.
  bool Take(uint32_t* slot) {
    const uint32_t first = next_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < kSize; ++i) {
      std::atomic<uint32_t>& place = places_[(first + i) % kSize];
      if (place.load(std::memory_order_relaxed) == 0) continue;
      const uint32_t taken = place.exchange(0, std::memory_order_acquire);
      if (taken == 0) continue;  // by another thread
      next_.store(first + i + 1, std::memory_order_relaxed);
      *slot = taken - 1;
      return true;
    }
    return false;
  }

  // Puts a slot in; false if there is no room.  Of threads that put slots in there is one.
  bool Put(uint32_t slot) {
    for (std::atomic<uint32_t>& place : places_) {
      if (place.load(std::memory_order_relaxed) != 0) continue;
      place.store(slot + 1, std::memory_order_release);
      return true;
    }
    return false;
  }

  uint32_t size() const {
    uint32_t size = 0;
    for (const std::atomic<uint32_t>& place : places_) {
      if (place.load(std::memory_order_relaxed) != 0) ++size;
    }
    return size;
  }

 private:
  std::atomic<uint32_t> places_[kSize];  // slot, plus one; 0: none
  std::atomic<uint32_t> next_;           // where the next slot is looked for
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_SLOT_STOCK_H_
