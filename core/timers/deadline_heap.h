// SPDX-License-Identifier: MIT
//
// The near part of an axis's index: a 4-ary min-heap of deadlines.  Chosen over a hierarchical
// timing wheel by measurement: docs/index.md.

#ifndef KEVENT_CORE_TIMERS_DEADLINE_HEAP_H_
#define KEVENT_CORE_TIMERS_DEADLINE_HEAP_H_

#include <cstddef>
#include <cstdint>

#include "core/timers/setting.h"

namespace kevent::core {

// A deadline, the order in which it was armed, and the slot of its timer, so that one comparison of
// 16 bytes orders by deadline and equals by arming.
class HeapEntry {
 public:
  static constexpr int kSlotBits = 29;
  // Two timers of one deadline can swap places when 2^37 armings of one
  // thread lie between theirs.
  static constexpr int kOrderBits = 37;
  static_assert(62 + kOrderBits + kSlotBits == 128);

  HeapEntry() = default;
  HeapEntry(Nanoseconds deadline, uint64_t order, uint32_t slot)
      : bits_(Bits{deadline} << 66 | Bits{order & ((uint64_t{1} << kOrderBits) - 1)} << kSlotBits |
              slot) {}

  Nanoseconds deadline() const { return static_cast<uint64_t>(bits_ >> 66); }
  uint64_t order() const {
    return static_cast<uint64_t>(bits_ >> kSlotBits) & ((uint64_t{1} << kOrderBits) - 1);
  }
  uint32_t slot() const { return static_cast<uint32_t>(bits_) & ((1u << kSlotBits) - 1); }

  friend bool operator<(const HeapEntry& a, const HeapEntry& b) { return a.bits_ < b.bits_; }

 private:
  __extension__ using Bits = unsigned __int128;
  Bits bits_ = 0;
};

// `Positions` is told where each entry lies: void Moved(uint32_t slot, uint32_t position).  The
// storage is the caller's and is large enough: no operation allocates, so none can fail.
template <typename Positions>
class DeadlineHeap {
 public:
  DeadlineHeap(HeapEntry* entries, uint32_t* size, Positions positions)
      : entries_(entries), size_(size), positions_(positions) {}

  bool empty() const { return *size_ == 0; }
  uint32_t size() const { return *size_; }
  const HeapEntry& top() const { return entries_[0]; }
  // The entry after the top, or nullptr.
  const HeapEntry* Second() const {
    const HeapEntry* least = nullptr;
    for (uint32_t i = FirstChild(0); i < FirstChild(0) + kArity && i < *size_; ++i) {
      if (least == nullptr || entries_[i] < *least) least = &entries_[i];
    }
    return least;
  }
  const HeapEntry& at(uint32_t position) const { return entries_[position]; }

  void Push(HeapEntry entry) { SiftUp((*size_)++, entry); }

  // Gives the entry at `position` another key.
  void Update(uint32_t position, HeapEntry entry) {
    if (entry < entries_[position]) {
      SiftUp(position, entry);
    } else {
      SiftDown(position, entry);
    }
  }

  void Remove(uint32_t position) {
    const HeapEntry last = entries_[--*size_];
    if (position != *size_) SiftUp(SinkHole(position), last);
  }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check() const {
    for (uint32_t i = 1; i < *size_; ++i) {
      if (entries_[i] < entries_[(i - 1) / kArity])
        return "an entry of a heap is above an earlier one";
    }
    return nullptr;
  }

  static constexpr uint32_t kArity = 4;
  static uint32_t FirstChild(uint32_t position) { return position * kArity + 1; }

 private:
  void Place(uint32_t position, HeapEntry entry) {
    entries_[position] = entry;
    positions_.Moved(entry.slot(), position);
  }

  void SiftUp(uint32_t position, HeapEntry entry) {
    while (position > 0) {
      const uint32_t parent = (position - 1) / kArity;
      if (!(entry < entries_[parent])) break;
      Place(position, entries_[parent]);
      position = parent;
    }
    Place(position, entry);
  }

  // Moves the hole at `position` down to a leaf; returns the leaf's position.
  uint32_t SinkHole(uint32_t position) {
    for (uint32_t child; (child = FirstChild(position)) < *size_;) {
      uint32_t least = child;
      if (child + kArity <= *size_) {
        const uint32_t a = entries_[child + 1] < entries_[child] ? child + 1 : child;
        const uint32_t b = entries_[child + 3] < entries_[child + 2] ? child + 3 : child + 2;
        least = entries_[b] < entries_[a] ? b : a;
      } else {
        while (++child < *size_) {
          if (entries_[child] < entries_[least]) least = child;
        }
      }
      Place(position, entries_[least]);
      position = least;
    }
    return position;
  }

  void SiftDown(uint32_t position, HeapEntry entry) {
    for (uint32_t child; (child = FirstChild(position)) < *size_;) {
      const uint32_t end = child + kArity < *size_ ? child + kArity : *size_;
      uint32_t least = child;
      while (++child < end) {
        if (entries_[child] < entries_[least]) least = child;
      }
      if (!(entries_[least] < entry)) break;
      Place(position, entries_[least]);
      position = least;
    }
    Place(position, entry);
  }

  HeapEntry* entries_;
  uint32_t* size_;
  Positions positions_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_DEADLINE_HEAP_H_
