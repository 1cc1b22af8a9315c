// SPDX-License-Identifier: MIT
//
// The rival of core/timers/deadline_heap.h, kept so that the choice can be measured
// again: a hierarchical timing wheel, exact to the nanosecond.
//
// A level has 64 slots, and eleven levels cover the 62 bits of a deadline.  A
// timer lies on the level of the highest bit in which its deadline differs from
// the time reached, so inserting and removing take a few instructions whatever
// the number of timers; in exchange a timer moves down a level whenever the
// time reached enters its slot.

#ifndef KEVENT_BENCH_TIMING_WHEEL_H_
#define KEVENT_BENCH_TIMING_WHEEL_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kevent::tools {

class TimingWheel {
 public:
  explicit TimingWheel(size_t timers) : nodes_(timers) {
    for (auto& level : heads_) {
      for (uint32_t& head : level) head = kNone;
    }
  }

  bool Contains(uint32_t timer) const { return nodes_[timer].level != kAbsent; }
  uint64_t DeadlineOf(uint32_t timer) const { return nodes_[timer].deadline; }

  void Set(uint32_t timer, uint64_t deadline) {
    Remove(timer);
    nodes_[timer].deadline = deadline;
    Link(timer);
  }

  void Remove(uint32_t timer) {
    Node& node = nodes_[timer];
    if (node.level == kAbsent) return;
    uint32_t& head = heads_[node.level][node.slot];
    if (node.next == timer) {
      head = kNone;
      occupied_[node.level] &= ~(uint64_t{1} << node.slot);
    } else {
      nodes_[node.previous].next = node.next;
      nodes_[node.next].previous = node.previous;
      if (head == timer) head = node.next;
    }
    node.level = kAbsent;
  }

  // The earliest deadline, or 0.  Exact: what lies in the first slot above
  // level 0 is looked through.
  uint64_t Next() const {
    for (uint8_t level = 0; level < kLevels; ++level) {
      if (occupied_[level] == 0) continue;
      const uint32_t head = heads_[level][std::countr_zero(occupied_[level])];
      uint64_t least = nodes_[head].deadline;
      for (uint32_t i = nodes_[head].next; i != head; i = nodes_[i].next) {
        if (nodes_[i].deadline < least) least = nodes_[i].deadline;
      }
      return least;
    }
    return 0;
  }

  // Takes the earliest timer whose deadline is not after `now`; of equal ones
  // the first that was set.  False when there is none.
  bool TakeDue(uint64_t now, uint32_t* timer) {
    for (uint8_t level = 0; level < kLevels; ++level) {
      while (occupied_[level] != 0) {
        const int slot = std::countr_zero(occupied_[level]);
        const uint64_t start = SlotStart(level, slot);
        if (start > now) return false;
        if (level == 0) {
          reached_ = start;
          *timer = heads_[0][slot];
          Remove(*timer);
          return true;
        }
        Descend(level, slot, start);
        level = 0;
      }
    }
    return false;
  }

 private:
  static constexpr uint8_t kLevels = 11;
  static constexpr int kBits = 6;
  static constexpr uint8_t kAbsent = 0xff;
  static constexpr uint32_t kNone = 0xffffffff;

  struct Node {
    uint64_t deadline = 0;
    uint32_t previous = 0;
    uint32_t next = 0;
    uint8_t level = kAbsent;
    uint8_t slot = 0;
  };

  uint64_t SlotStart(uint8_t level, int slot) const {
    const int shift = level * kBits;
    const uint64_t above = shift + kBits >= 64 ? 0 : reached_ >> (shift + kBits) << (shift + kBits);
    return above | static_cast<uint64_t>(slot) << shift;
  }

  void Link(uint32_t timer) {
    Node& node = nodes_[timer];
    // What is in the past already comes out next.
    const uint64_t deadline = node.deadline < reached_ ? reached_ : node.deadline;
    const uint64_t difference = (deadline ^ reached_) | 1;
    node.level = static_cast<uint8_t>((63 - std::countl_zero(difference)) / kBits);
    node.slot = deadline >> (node.level * kBits) & 63;
    uint32_t& head = heads_[node.level][node.slot];
    if (head == kNone) {
      head = node.previous = node.next = timer;
      occupied_[node.level] |= uint64_t{1} << node.slot;
    } else {
      node.next = head;
      node.previous = nodes_[head].previous;
      nodes_[node.previous].next = timer;
      nodes_[head].previous = timer;
    }
  }

  // The time reached enters this slot: its timers go to lower levels.
  void Descend(uint8_t level, int slot, uint64_t start) {
    if (start > reached_) reached_ = start;
    const uint32_t head = heads_[level][slot];
    heads_[level][slot] = kNone;
    occupied_[level] &= ~(uint64_t{1} << slot);
    uint32_t timer = head;
    do {
      const uint32_t next = nodes_[timer].next;
      Link(timer);
      timer = next;
    } while (timer != head);
  }

  uint64_t reached_ = 0;
  uint64_t occupied_[kLevels] = {};
  uint32_t heads_[kLevels][64];
  std::vector<Node> nodes_;
};

}  // namespace kevent::tools

#endif  // KEVENT_BENCH_TIMING_WHEEL_H_
