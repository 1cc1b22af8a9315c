// SPDX-License-Identifier: MIT
//
// The invariants of a FarIndex:
// - each block is in one bucket, or in the part of a bucket that a sweep has yet to come to, or
//   free, and only blocks that are not full are begun;
// - a bucket is marked as occupied, and its level too, while it has a block, or is being swept;
// - `start` is the moment when the earliest of them begins;
// - a slot that says it is in a bucket has an entry there.

#ifndef KEVENT_CORE_TIMERS_FAR_INDEX_CHECK_H_
#define KEVENT_CORE_TIMERS_FAR_INDEX_CHECK_H_

#include <bit>
#include <cstdint>

#include "core/timers/far_index.h"

namespace kevent::core {

template <typename Places>
class FarIndexCheck {
 public:
  explicit FarIndexCheck(const FarIndex<Places>& index) : index_(index) {}

  // Returns the first invariant that does not hold if `timers` slots say that they are in a bucket,
  // or what agrees(slot, start) says of one of them and the start of its bucket, or nullptr.  Slots
  // are marked meanwhile, so no other thread may look at where they are.
  template <typename Agrees>
  const char* operator()(uint32_t timers, Agrees agrees) {
    const FarState& state = index_.state_;
    if (state.fresh > index_.capacity_) return "more blocks are used than there are";
    if (state.taking) return "a bucket is still being taken apart";
    if (state.fresh == 0 && state.levels == 0 && timers == 0) return nullptr;  // never used
    const char* broken = CheckBuckets();
    if (broken == nullptr) broken = CheckChain(state.sweep_first);
    if (broken == nullptr) broken = CheckFree();
    if (broken == nullptr && blocks_ != state.fresh) return "a block is lost";
    if (broken == nullptr) ForEachEntry([this](uint32_t* said) { Count(said); });
    if (broken == nullptr) broken = CheckSlots(agrees);
    ForEachEntry([](uint32_t* said) { *said &= ~kCounted; });
    if (broken == nullptr && counted_ != timers) return "a timer is not in the bucket that it says";
    return broken;
  }

 private:
  // A bit that is clear in every FarPlace.
  static constexpr uint32_t kCounted = 1u << 30;

  const char* CheckBuckets() {
    const FarState& state = index_.state_;
    for (int level = 0; level < FarBucket::kLevels; ++level) {
      const uint64_t marked = state.occupied[level];
      if ((state.levels >> level & 1) != (marked != 0 ? 1 : 0)) {
        return "a level is not marked as it is occupied";
      }
      if (marked != Occupied(level)) return "a bucket is not marked as it is occupied";
      for (uint64_t groups = marked; groups != 0; groups &= groups - 1) {
        const FarBucket bucket(level, static_cast<uint32_t>(std::countr_zero(groups)));
        if (const char* broken = CheckChain(index_.pages_->heads[bucket.number()]);
            broken != nullptr) {
          return broken;
        }
      }
    }
    if (!index_.empty() && state.start != index_.Earliest().Start(state.base)) {
      return "the earliest bucket begins at another moment";
    }
    return nullptr;
  }

  // A bit for each bucket of a level that has a block or is being swept.
  uint64_t Occupied(int level) const {
    const FarBucket first(level, 0);
    const uint32_t* const heads = &index_.pages_->heads[first.number()];
    uint64_t occupied = 0;
    for (uint32_t group = 0; group >> FarBucket::kGroupBits == 0; ++group) {
      if (heads[group] != 0) occupied |= uint64_t{1} << group;
    }
    const FarBucket swept(index_.state_.swept - 1);
    if (index_.BeingSwept(swept) && swept.level() == level)
      occupied |= uint64_t{1} << swept.group();
    return occupied;
  }

  const char* CheckChain(uint32_t block) {
    const uint32_t head = block;
    for (; block != 0; block = index_.pages_->blocks()[block - 1].next) {
      // More blocks would mean that a block is in two chains, or in a ring.
      if (block > index_.state_.fresh || ++blocks_ > index_.state_.fresh) {
        return "a block is in two places";
      }
      const uint32_t count = index_.pages_->blocks()[block - 1].count;
      if (count == 0 || count > FarBlock::kEntries) return "a block has more or less than it can";
      if (block != head && count != FarBlock::kEntries) {
        return "a block was begun before the last was full";
      }
    }
    return nullptr;
  }

  const char* CheckFree() {
    uint32_t free = 0;
    for (uint32_t block = index_.state_.free_first; block != 0;
         block = index_.pages_->blocks()[block - 1].next) {
      if (block > index_.state_.fresh || ++free > index_.state_.free_count) {
        return "there are more free blocks than counted";
      }
    }
    if (free != index_.state_.free_count) return "there are fewer free blocks than counted";
    blocks_ += free;
    return nullptr;
  }

  // Calls visit(where) for each entry; `where` is its slot's note of where it is.
  template <typename Visit>
  void ForEachEntry(Visit visit) {
    for (int level = 0; level < FarBucket::kLevels; ++level) {
      for (uint64_t groups = index_.state_.occupied[level]; groups != 0; groups &= groups - 1) {
        const FarBucket bucket(level, static_cast<uint32_t>(std::countr_zero(groups)));
        ForEachOf(index_.pages_->heads[bucket.number()], index_.Present(bucket), visit);
        if (index_.BeingSwept(bucket)) {
          ForEachOf(index_.state_.sweep_first, index_.Former(bucket), visit);
        }
      }
    }
  }
  template <typename Visit>
  void ForEachOf(uint32_t block, FarPlace place, Visit visit) {
    uint32_t left = index_.state_.fresh;
    for (; block != 0 && left-- != 0; block = index_.pages_->blocks()[block - 1].next) {
      const FarBlock& entries = index_.pages_->blocks()[block - 1];
      for (uint32_t i = 0; i < entries.count && i < FarBlock::kEntries; ++i) {
        uint32_t* const said = index_.places_.At(entries.slots[i]);
        if (said == nullptr || (*said & ~kCounted) != place.bits()) continue;
        slot_ = entries.slots[i];
        start_ = place.bucket().Start(index_.state_.base);
        visit(said);
      }
    }
  }

  void Count(uint32_t* said) {
    if ((*said & kCounted) == 0) ++counted_;
    *said |= kCounted;
  }

  template <typename Agrees>
  const char* CheckSlots(Agrees agrees) {
    const char* broken = nullptr;
    ForEachEntry([this, agrees, &broken](uint32_t*) {
      if (broken == nullptr) broken = agrees(slot_, start_);
    });
    return broken;
  }

  const FarIndex<Places>& index_;
  uint32_t blocks_ = 0;
  uint32_t counted_ = 0;
  uint32_t slot_ = 0;      // the slot of the entry that is visited
  Nanoseconds start_ = 0;  // the start of its bucket
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_FAR_INDEX_CHECK_H_
