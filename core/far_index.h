// SPDX-License-Identifier: MIT
//
// The far part of an axis's index: timers whose deadlines are not near, in
// buckets by time, as in a hierarchical timing wheel.  A bucket is only taken
// apart when its time has nearly come; until then nothing in it is in order, and
// a timer that is set again within its bucket or to a later moment costs nothing.
//
// Entries are hints: slot numbers, appended and never removed.  A slot says in
// which bucket it is; an entry that it does not agree with is passed over.  So a
// timer moves to an earlier bucket by one append, without touching what lies
// beside it: at a million timers every other line of memory is a cache miss
// (docs/index.md).
//
// All under the queue's lock.  Nothing allocates: when the pages are full, the
// entries that have become void are swept out.

#ifndef KEVENT_CORE_FAR_INDEX_H_
#define KEVENT_CORE_FAR_INDEX_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/setting.h"

namespace kevent::core {

class FarBucket {
 public:
  static constexpr int kGroupBits = 6;
  static constexpr int kTickBits = 16;  // a bucket of level 0 is 65.536 us wide
  static constexpr int kLevels = 8;     // 16 + 8 * 6 bits cover the 62 of a deadline
  static constexpr uint32_t kCount = kLevels << kGroupBits;

  explicit FarBucket(uint32_t number) : number_(number) {}
  FarBucket(int level, uint32_t group)
      : number_(static_cast<uint32_t>(level) << kGroupBits | group) {}

  // Where a moment lies, seen from `base`, which is not later.
  static FarBucket Of(Nanoseconds moment, Nanoseconds base) {
    const uint64_t differing = (moment ^ base) >> kTickBits;
    const int level =
        differing == 0 ? 0 : (static_cast<int>(std::bit_width(differing)) - 1) / kGroupBits;
    return FarBucket(level, static_cast<uint32_t>(moment >> Shift(level)) & kGroupMask);
  }

  uint32_t number() const { return number_; }
  int level() const { return static_cast<int>(number_ >> kGroupBits) % kLevels; }
  uint32_t group() const { return number_ & kGroupMask; }

  Nanoseconds Start(Nanoseconds base) const {
    const int above = Shift(level()) + kGroupBits;
    const Nanoseconds prefix = above >= 64 ? 0 : base >> above << above;
    return prefix | Nanoseconds{group()} << Shift(level());
  }
  Nanoseconds Last(Nanoseconds base) const {
    return Start(base) + ((Nanoseconds{1} << Shift(level())) - 1);
  }

 private:
  static constexpr uint32_t kGroupMask = (1u << kGroupBits) - 1;
  static int Shift(int level) { return kTickBits + level * kGroupBits; }

  uint32_t number_;
};

// What a slot says of where it is: an entry of this bucket, made since the last
// sweep of this parity.  Told by the top bit from a position in the heap and
// from a link of the free list.
class FarPlace {
 public:
  explicit FarPlace(uint32_t bits) : bits_(bits) {}
  FarPlace(FarBucket bucket, uint32_t parity)
      : bits_(kFar | (parity & 1) << 16 | bucket.number()) {}

  static bool IsOne(uint32_t bits) { return (bits & kFar) != 0; }
  uint32_t bits() const { return bits_; }
  FarBucket bucket() const { return FarBucket(bits_ & 0xffff); }

 private:
  static constexpr uint32_t kFar = 1u << 31;
  uint32_t bits_;
};

// Slot numbers of one bucket, as many as fill a cache line with the link.
struct FarBlock {
  static constexpr uint32_t kEntries = 14;
  uint32_t next;  // block number, plus one
  uint32_t count;
  uint32_t slots[kEntries];
};
static_assert(sizeof(FarBlock) == 64);

// Zeroed memory is empty.
struct FarPages {
  uint32_t heads[FarBucket::kCount];  // the newest block of each bucket, plus one

  FarBlock* blocks() { return reinterpret_cast<FarBlock*>(this + 1); }
};
static_assert(sizeof(FarPages) % sizeof(FarBlock) == 0);

// Zeroed memory is empty.
struct FarState {
  Nanoseconds base;   // no bucket begins before it
  Nanoseconds start;  // of the earliest bucket, if any is occupied
  uint64_t occupied[FarBucket::kLevels];
  uint32_t levels;  // that have an occupied bucket
  uint32_t parity;
  uint32_t fresh;       // blocks from here on were never used
  uint32_t free_first;  // of the others, plus one
  uint32_t free_count;
};

// `Places`: uint32_t* At(uint32_t slot), what the slot says of where it is, or
// nullptr when it is not on this axis any more; void Prefetch(uint32_t slot).
template <typename Places>
class FarIndex {
 public:
  FarIndex(FarPages* pages, uint32_t capacity, FarState* state, Places places)
      : pages_(pages), capacity_(capacity), state_(*state), places_(places) {}

  // Blocks that suffice for so many timers: twice what their entries fill, and
  // one that is begun for each bucket, both in place and while one is taken
  // apart.
  static constexpr uint32_t BlocksFor(uint32_t timers) {
    return timers / FarBlock::kEntries * 2 + 2 * FarBucket::kCount + 2;
  }
  static constexpr size_t BytesFor(uint32_t timers) {
    return sizeof(FarPages) + size_t{BlocksFor(timers)} * sizeof(FarBlock);
  }

  bool empty() const { return state_.levels == 0; }
  // When the earliest bucket begins, unless empty.
  Nanoseconds start() const { return state_.start; }

  // Whether something here can be due at `moment`.
  bool ReachedBy(Nanoseconds moment) const { return !empty() && state_.start <= moment; }

  // Whether a deadline is late enough to be kept here.
  bool Takes(Nanoseconds deadline) const { return deadline > state_.base; }

  // Time has come so far.  Requires !ReachedBy(now).
  void PassTo(Nanoseconds now) {
    if (empty() || now > state_.base) state_.base = now;
  }

  // Puts a slot where its deadline belongs; when that bucket begins.
  Nanoseconds Add(uint32_t slot, Nanoseconds deadline) {
    if (free_blocks() == 0) Sweep();
    const FarBucket bucket = FarBucket::Of(deadline, state_.base);
    const Nanoseconds start = bucket.Start(state_.base);
    Append(bucket, slot);
    *places_.At(slot) = FarPlace(bucket, state_.parity).bits();
    return start;
  }

  Nanoseconds StartOf(FarPlace place) const { return place.bucket().Start(state_.base); }

  // Takes the earliest bucket apart: those in it belong nowhere, visit(slot) is
  // to put them where they belong now.
  template <typename Visit>
  void TakeEarliest(Visit visit) {
    if (free_blocks() <= FarBucket::kCount) Sweep();
    const FarBucket bucket = Earliest();
    const FarPlace place(bucket, state_.parity);
    uint32_t block = Detach(bucket);
    // A few go to the heap, many are spread over the buckets of a lower level.
    const bool few = bucket.level() == 0 || !LongerThan(kFewBlocks, block);
    state_.base = few ? bucket.Last(state_.base) : bucket.Start(state_.base);
    while (block != 0) {
      const FarBlock taken = pages_->blocks()[block - 1];
      Free(block);
      block = taken.next;
      for (uint32_t i = 0; i < taken.count; ++i) places_.Prefetch(taken.slots[i]);
      for (uint32_t i = 0; i < taken.count; ++i) {
        uint32_t* const said = places_.At(taken.slots[i]);
        if (said == nullptr || *said != place.bits()) continue;
        *said = 0;
        visit(taken.slots[i]);
      }
    }
  }

 private:
  static constexpr uint32_t kFewBlocks = 4;

  uint32_t free_blocks() const { return capacity_ - state_.fresh + state_.free_count; }

  bool LongerThan(uint32_t length, uint32_t block) const {
    for (; block != 0; block = pages_->blocks()[block - 1].next) {
      if (length-- == 0) return true;
    }
    return false;
  }

  // The levels lie one after another in time, seen from the base.
  FarBucket Earliest() const {
    const int level = std::countr_zero(state_.levels);
    return FarBucket(level, static_cast<uint32_t>(std::countr_zero(state_.occupied[level])));
  }

  void Append(FarBucket bucket, uint32_t slot) {
    uint32_t& head = pages_->heads[bucket.number()];
    if (head == 0 || pages_->blocks()[head - 1].count == FarBlock::kEntries) {
      const uint32_t block = Allocate();
      pages_->blocks()[block - 1].next = head;
      pages_->blocks()[block - 1].count = 0;
      head = block;
      Occupy(bucket);
    }
    FarBlock& block = pages_->blocks()[head - 1];
    block.slots[block.count++] = slot;
  }

  void Occupy(FarBucket bucket) {
    const Nanoseconds start = bucket.Start(state_.base);
    if (empty() || start < state_.start) state_.start = start;
    state_.occupied[bucket.level()] |= uint64_t{1} << bucket.group();
    state_.levels |= 1u << bucket.level();
  }

  // Empties a bucket; its first block.
  uint32_t Detach(FarBucket bucket) {
    const uint32_t first = pages_->heads[bucket.number()];
    pages_->heads[bucket.number()] = 0;
    state_.occupied[bucket.level()] &= ~(uint64_t{1} << bucket.group());
    if (state_.occupied[bucket.level()] == 0) state_.levels &= ~(1u << bucket.level());
    if (!empty()) state_.start = Earliest().Start(state_.base);
    return first;
  }

  // Drops the entries that slots do not agree with, and all but one of a slot's
  // in one bucket: by the parity, the others are of before the sweep.
  void Sweep() {
    const uint32_t parity = state_.parity++;
    for (uint32_t number = 0; number < FarBucket::kCount; ++number) {
      if (pages_->heads[number] == 0) continue;
      const FarBucket bucket(number);
      uint32_t block = Detach(bucket);
      while (block != 0) {
        const FarBlock taken = pages_->blocks()[block - 1];
        Free(block);
        block = taken.next;
        for (uint32_t i = 0; i < taken.count; ++i) places_.Prefetch(taken.slots[i]);
        for (uint32_t i = 0; i < taken.count; ++i) {
          uint32_t* const said = places_.At(taken.slots[i]);
          if (said == nullptr || *said != FarPlace(bucket, parity).bits()) continue;
          Append(bucket, taken.slots[i]);
          *said = FarPlace(bucket, state_.parity).bits();
        }
      }
    }
  }

  uint32_t Allocate() {
    if (state_.free_first == 0) return ++state_.fresh;
    const uint32_t block = state_.free_first;
    state_.free_first = pages_->blocks()[block - 1].next;
    --state_.free_count;
    return block;
  }
  void Free(uint32_t block) {
    pages_->blocks()[block - 1].next = state_.free_first;
    state_.free_first = block;
    ++state_.free_count;
  }

  FarPages* const pages_;
  const uint32_t capacity_;
  FarState& state_;
  const Places places_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_FAR_INDEX_H_
