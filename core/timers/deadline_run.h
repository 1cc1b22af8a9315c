// SPDX-License-Identifier: MIT
//
// The run, beside the heap of an axis: a ring of entries that came in order, first in, first out.
// Timers of one period that are collected together are set again in the order in which they expire,
// and timers that are armed in a row expire in a row: such an entry is appended behind the others,
// where a heap would carry it through its levels twice (docs/index.md).
//
// An entry that leaves from the middle is left there void.  The first and the last entry are never
// void.

#ifndef KEVENT_CORE_TIMERS_DEADLINE_RUN_H_
#define KEVENT_CORE_TIMERS_DEADLINE_RUN_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/timers/deadline_heap.h"
#include "core/timers/setting.h"

namespace kevent::core {

// A place in the ring, as a slot stores it.  The top two bits tell it from a position in the heap,
// a FarPlace and a link of the free list.
class RunPlace {
 public:
  static RunPlace At(uint32_t index) { return RunPlace(kRun | index); }
  explicit RunPlace(uint32_t bits) : bits_(bits) {}

  static bool IsOne(uint32_t bits) { return bits >> 30 == kRun >> 30; }
  uint32_t bits() const { return bits_; }
  uint32_t index() const { return bits_ & ~kRun; }

 private:
  static constexpr uint32_t kRun = 1u << 30;
  uint32_t bits_;
};

// Zeroed memory is an empty run.
struct RunState {
  uint32_t first;
  uint32_t end;  // both count on without end; the size of the ring divides their range
};

// `Places` is told where each entry lies: void InRun(uint32_t slot, RunPlace place).  The ring is
// the caller's, its size a power of two.
template <typename Places>
class DeadlineRun {
 public:
  DeadlineRun(HeapEntry* ring, uint32_t size, RunState* state, Places places)
      : ring_(ring), mask_(size - 1), state_(*state), places_(places) {}

  bool empty() const { return state_.first == state_.end; }
  // The void entries count.
  uint32_t size() const { return state_.end - state_.first; }
  const HeapEntry& first() const { return At(state_.first); }

  // The entry after the first one, or nullptr.  The first one moves up to it, so that the void
  // entries between them are passed over once only.
  const HeapEntry* Second() {
    if (size() < 2) return nullptr;
    const uint32_t first = state_.first;
    while (IsVoid(At(state_.first + 1))) ++state_.first;
    if (state_.first != first) {
      At(state_.first) = std::exchange(At(first), HeapEntry());
      places_.InRun(At(state_.first).slot(), RunPlace::At(state_.first & mask_));
    }
    return &At(state_.first + 1);
  }

  // True if the entry can be appended.
  bool Takes(const HeapEntry& entry) const {
    return empty() || (!(entry < At(state_.end - 1)) && state_.end - state_.first <= mask_);
  }

  // Requires Takes(entry).
  void Append(HeapEntry entry) {
    const uint32_t index = state_.end++ & mask_;
    ring_[index] = entry;
    places_.InRun(entry.slot(), RunPlace::At(index));
  }

  void Remove(RunPlace place) {
    ring_[place.index()] = HeapEntry();
    while (!empty() && IsVoid(first())) ++state_.first;
    while (!empty() && IsVoid(At(state_.end - 1))) --state_.end;
    // A timer that is alone stays in the line of memory that it is in.
    if (empty()) state_ = {};
  }

  // Calls visit(entry) for each entry in order until it returns false.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint32_t i = state_.first; i != state_.end; ++i) {
      if (!IsVoid(At(i)) && !visit(At(i))) return;
    }
  }

  // Returns the first invariant that does not hold, or nullptr, or what agrees(entry, place) says
  // of an entry.
  template <typename Agrees>
  const char* Check(Agrees agrees) const {
    if (empty()) return nullptr;
    if (size() > mask_ + 1) return "a run is larger than its ring";
    if (IsVoid(first()) || IsVoid(At(state_.end - 1)))
      return "a run begins or ends with a void entry";
    HeapEntry last;
    for (uint32_t i = state_.first; i != state_.end; ++i) {
      const HeapEntry& entry = At(i);
      if (IsVoid(entry)) continue;
      if (entry < last) return "an entry of a run is behind a later one";
      last = entry;
      if (const char* broken = agrees(entry, RunPlace::At(i & mask_)); broken != nullptr) {
        return broken;
      }
    }
    return nullptr;
  }

 private:
  static bool IsVoid(const HeapEntry& entry) { return entry.deadline() == 0; }

  HeapEntry& At(uint32_t count) const { return ring_[count & mask_]; }

  HeapEntry* const ring_;
  const uint32_t mask_;
  RunState& state_;
  const Places places_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_DEADLINE_RUN_H_
