// SPDX-License-Identifier: MIT
//
// The far part of an axis's index: timers whose deadlines are not near, in buckets by time, as in a
// hierarchical timing wheel.  A bucket is only taken apart when its time has nearly come; until
// then nothing in it is in order, and a timer that is set again within its bucket or to a later
// moment costs nothing.  A level reaches over two buckets of the next one.  So the later of the two
// can be spread over the lower level little by little while the time of the earlier one passes, and
// no collection has to take a large bucket apart.
//
// Entries are hints: slot numbers, appended and never removed.  A slot says in which bucket it is;
// an entry that its slot does not agree with is passed over.  So a timer moves to an earlier bucket
// by one append, without touching the entries beside it: at a million timers every other line of
// memory is a cache miss (docs/index.md).
//
// All of this needs the queue's lock.  Nothing allocates: before the pages are full, the entries
// that have become void are swept out, a few blocks at a time.

#ifndef KEVENT_CORE_TIMERS_FAR_INDEX_H_
#define KEVENT_CORE_TIMERS_FAR_INDEX_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/timers/setting.h"

namespace kevent::core {

class FarBucket {
 public:
  static constexpr int kGroupBits = 6;
  static constexpr int kLevelBits = 5;
  static constexpr int kTickBits = 16;  // a bucket of level 0 is 65.536 us wide
  static constexpr int kLevels = 9;     // 16 + 9 * 5 bits and one cover the 62 of a deadline
  static constexpr uint32_t kCount = kLevels << kGroupBits;

  explicit FarBucket(uint32_t number) : number_(number) {}
  FarBucket(int level, uint32_t group)
      : number_(static_cast<uint32_t>(level) << kGroupBits | group) {}

  // The bucket of a moment, seen from `base`, which is not later: at the lowest level at which the
  // moment is in the bucket of the next level that the base is in, or in the one after that.
  static FarBucket Of(Nanoseconds moment, Nanoseconds base) {
    const int beyond = static_cast<int>(std::bit_width(moment - base)) - Shift(1) - 1;
    int level = beyond <= 0 ? 0 : (beyond + kLevelBits - 1) / kLevelBits;
    if ((moment >> Shift(level + 1)) - (base >> Shift(level + 1)) > 1) ++level;
    return FarBucket(level, static_cast<uint32_t>(moment >> Shift(level)) & kGroupMask);
  }

  // The bucket of this level after the base's: an entry of it would be put into a lower level by
  // now, and nothing is put into it any more.
  static FarBucket Next(int level, Nanoseconds base) {
    return FarBucket(level, static_cast<uint32_t>((base >> Shift(level)) + 1) & kGroupMask);
  }

  // The earliest of the buckets of one level that have a bit set in `groups`.
  static FarBucket Earliest(int level, uint64_t groups, Nanoseconds base) {
    const auto first = static_cast<uint32_t>(base >> Shift(level)) & kGroupMask;
    const int ahead = std::countr_zero(std::rotr(groups, static_cast<int>(first)));
    return FarBucket(level, (first + static_cast<uint32_t>(ahead)) & kGroupMask);
  }

  uint32_t number() const { return number_; }
  int level() const { return static_cast<int>(number_ >> kGroupBits) % kLevels; }
  uint32_t group() const { return number_ & kGroupMask; }

  // The start does not change while the base passes on to it.
  Nanoseconds Start(Nanoseconds base) const {
    const Nanoseconds first = base >> Shift(level());
    return (first + ((group() - first) & kGroupMask)) << Shift(level());
  }
  Nanoseconds Last(Nanoseconds base) const {
    return Start(base) + ((Nanoseconds{1} << Shift(level())) - 1);
  }

 private:
  static constexpr uint32_t kGroupMask = (1u << kGroupBits) - 1;
  static int Shift(int level) { return kTickBits + level * kLevelBits; }

  uint32_t number_;
};

// The bucket in which a slot has an entry that was made since the bucket was last swept, as the
// slot stores it.  The top bit tells it from a position in the heap and from a link of the free
// list.
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

// Slot numbers of one bucket, as many as fill a cache line together with the link.
struct FarBlock {
  static constexpr uint32_t kEntries = 14;
  uint32_t next;  // block number, plus one
  uint32_t count;
  uint32_t slots[kEntries];
};
static_assert(sizeof(FarBlock) == 64);

// Zeroed memory is a set of empty buckets.
struct FarPages {
  uint32_t heads[FarBucket::kCount];  // the newest block of each bucket, plus one

  FarBlock* blocks() { return reinterpret_cast<FarBlock*>(this + 1); }
};
static_assert(sizeof(FarPages) % sizeof(FarBlock) == 0);

// Zeroed memory is an empty index.
struct FarState {
  Nanoseconds base;   // no bucket begins before it
  Nanoseconds start;  // of the earliest bucket, if any is occupied
  uint64_t occupied[FarBucket::kLevels];
  uint64_t parity[FarBucket::kLevels];  // a bit for each bucket, which changes with each sweep
  uint32_t levels;                      // a bit for each level that has an occupied bucket
  uint32_t swept;  // the number of buckets that the sweep has come to; 0: no sweep is under way
  uint32_t sweep_first;  // plus one: the first unswept block of the last of them
  uint32_t fresh;        // blocks from this number on were never used
  uint32_t free_first;   // plus one: the first free block of those used before
  uint32_t free_count;
  bool taking;  // a bucket is being taken apart
};

template <typename Places>
class FarIndexCheck;  // core/timers/far_index_check.h

// `Places` has uint32_t* At(uint32_t slot), the slot's own note of where it is, or nullptr if it is
// not on this axis any more; and void Prefetch(uint32_t slot).
template <typename Places>
class FarIndex {
 public:
  FarIndex(FarPages* pages, uint32_t capacity, FarState* state, Places places)
      : pages_(pages), capacity_(capacity), state_(*state), places_(places) {}

  // The blocks that the entries of `timers` timers fill, twice, and 8 for each bucket.  These
  // suffice.  A sweep begins when 3/4 of the blocks are in use, and handles kSweptAtOnce = 8 for
  // each block that is added meanwhile.  Taking a bucket apart adds fewer blocks than it frees,
  // except for one block that is begun for each bucket.  So the sweep ends before (3/4 + 1/8) * 8/7
  // are in use; then the only entries left are those that were valid, at most 1/2, and those added,
  // at most 1/8.
  static constexpr uint32_t BlocksFor(uint32_t timers) {
    return timers / FarBlock::kEntries * 2 + kSweptAtOnce * FarBucket::kCount;
  }
  static constexpr size_t BytesFor(uint32_t timers) {
    return sizeof(FarPages) + size_t{BlocksFor(timers)} * sizeof(FarBlock);
  }

  bool empty() const { return state_.levels == 0; }
  // The moment when the earliest bucket begins.  Requires that one is occupied.
  Nanoseconds start() const { return state_.start; }

  // True if a deadline here can be due at `moment`.
  bool ReachedBy(Nanoseconds moment) const { return !empty() && state_.start <= moment; }

  // True if the deadline is late enough to be kept here.
  bool Takes(Nanoseconds deadline) const { return deadline > state_.base; }

  // Moves the base on to `now`.  Requires !ReachedBy(now).
  void AdvanceTo(Nanoseconds now) {
    if (empty() || now > state_.base) state_.base = now;
  }

  // Puts a slot into the bucket of its deadline; returns the moment when that bucket begins.
  Nanoseconds Add(uint32_t slot, Nanoseconds deadline) {
    const FarBucket bucket = FarBucket::Of(deadline, state_.base);
    if (NeedsBlock(bucket)) SweepSome();
    const Nanoseconds start = bucket.Start(state_.base);
    Append(bucket, slot);
    *places_.At(slot) = Present(bucket).bits();
    return start;
  }

  Nanoseconds StartOf(FarPlace place) const { return place.bucket().Start(state_.base); }

  // Takes the earliest bucket apart: its slots have no place then, and visit(slot) puts each where
  // it belongs now.
  template <typename Visit>
  void TakeEarliest(Visit visit) {
    const FarBucket bucket = Earliest();
    const FarPlace present = Present(bucket);
    const FarPlace former = Former(bucket);
    const Nanoseconds begin = bucket.Start(state_.base);
    const Nanoseconds last = bucket.Last(state_.base);
    const uint32_t unswept = BeingSwept(bucket) ? std::exchange(state_.sweep_first, 0) : 0;
    const uint32_t first = Detach(bucket);
    // A few slots go to the heap, many are spread over the buckets of a lower level.
    const bool few =
        bucket.level() == 0 || !(LongerThan(kFewBlocks, first) || LongerThan(kFewBlocks, unswept));
    state_.base = !few ? begin : empty() || last < start() ? last : start();
    state_.taking = true;
    for (uint32_t block = first; block != 0;) block = TakeBlock(block, present, visit);
    for (uint32_t block = unswept; block != 0;) block = TakeBlock(block, former, visit);
    state_.taking = false;
  }

  // Takes up to `blocks` blocks apart from the large bucket whose time comes next, if there is one.
  template <typename Visit>
  void TakeAhead(uint32_t blocks, Visit visit) {
    for (uint32_t levels = state_.levels & ~1u; levels != 0; levels &= levels - 1) {
      const FarBucket bucket = FarBucket::Next(std::countr_zero(levels), state_.base);
      uint32_t& head = pages_->heads[bucket.number()];
      if (!LongerThan(kManyBlocks + blocks, head)) continue;
      state_.taking = true;
      for (; blocks != 0; --blocks) {
        const uint32_t block = std::exchange(head, pages_->blocks()[head - 1].next);
        TakeBlock(block, Present(bucket), visit);
      }
      state_.taking = false;
      return;
    }
  }

  // One Add sweeps at most this many blocks.
  static constexpr uint32_t kSweptAtOnce = 8;

 private:
  friend class FarIndexCheck<Places>;

  static constexpr uint32_t kFewBlocks = 4;
  // Taking more blocks than this apart in one call would delay a collection.
  static constexpr uint32_t kManyBlocks = 32;

  uint32_t free_blocks() const { return capacity_ - state_.fresh + state_.free_count; }

  FarPlace Present(FarBucket bucket) const {
    return FarPlace(bucket,
                    static_cast<uint32_t>(state_.parity[bucket.level()] >> bucket.group()) & 1);
  }
  // The place of the entries that were made before the sweep that the bucket is in.
  FarPlace Former(FarBucket bucket) const {
    return FarPlace(bucket,
                    static_cast<uint32_t>(~state_.parity[bucket.level()] >> bucket.group()) & 1);
  }
  bool BeingSwept(FarBucket bucket) const {
    return state_.sweep_first != 0 && bucket.number() + 1 == state_.swept;
  }

  bool LongerThan(uint32_t length, uint32_t block) const {
    for (; block != 0; block = pages_->blocks()[block - 1].next) {
      if (length-- == 0) return true;
    }
    return false;
  }

  // Of two buckets that begin together, returns the one of the higher level, from which slots may
  // go into the other.
  FarBucket Earliest() const {
    FarBucket earliest(0);
    Nanoseconds start = kLatest + 1;
    for (uint32_t levels = state_.levels; levels != 0; levels &= levels - 1) {
      const int level = std::countr_zero(levels);
      const FarBucket bucket = FarBucket::Earliest(level, state_.occupied[level], state_.base);
      if (const Nanoseconds its = bucket.Start(state_.base); its <= start) {
        start = its;
        earliest = bucket;
      }
    }
    return earliest;
  }

  bool NeedsBlock(FarBucket bucket) const {
    const uint32_t head = pages_->heads[bucket.number()];
    return head == 0 || pages_->blocks()[head - 1].count == FarBlock::kEntries;
  }

  void Append(FarBucket bucket, uint32_t slot) {
    uint32_t& head = pages_->heads[bucket.number()];
    if (NeedsBlock(bucket)) {
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

  // Empties a bucket; returns its first block.
  uint32_t Detach(FarBucket bucket) {
    const uint32_t first = pages_->heads[bucket.number()];
    pages_->heads[bucket.number()] = 0;
    Vacate(bucket);
    return first;
  }

  void Vacate(FarBucket bucket) {
    state_.occupied[bucket.level()] &= ~(uint64_t{1} << bucket.group());
    if (state_.occupied[bucket.level()] == 0) state_.levels &= ~(1u << bucket.level());
    if (!empty()) state_.start = Earliest().Start(state_.base);
  }

  // Frees a block, and visits the slots that say they are at `place`; returns the next block.
  template <typename Visit>
  uint32_t TakeBlock(uint32_t block, FarPlace place, Visit visit) {
    const FarBlock taken = pages_->blocks()[block - 1];
    Free(block);
    for (uint32_t i = 0; i < taken.count; ++i) places_.Prefetch(taken.slots[i]);
    for (uint32_t i = 0; i < taken.count; ++i) {
      uint32_t* const said = places_.At(taken.slots[i]);
      if (said == nullptr || *said != place.bits()) continue;
      *said = 0;
      visit(taken.slots[i]);
    }
    return taken.next;
  }

  // Drops the entries that slots do not agree with, and all but one of a slot's in one bucket: the
  // parity says that the others were made before the sweep.  It goes bucket by bucket, and only
  // while blocks are running short, so that no call has to look at more than a few.
  void SweepSome() {
    if (state_.taking || (state_.swept == 0 && free_blocks() >= capacity_ / 4)) return;
    for (uint32_t i = 0; i < kSweptAtOnce && (state_.sweep_first != 0 || SweepNext()); ++i) {
      const FarBucket bucket(state_.swept - 1);
      const FarPlace present = Present(bucket);
      state_.sweep_first =
          TakeBlock(state_.sweep_first, Former(bucket), [this, bucket, present](uint32_t slot) {
            Append(bucket, slot);
            *places_.At(slot) = present.bits();
          });
      if (state_.sweep_first == 0 && pages_->heads[bucket.number()] == 0) Vacate(bucket);
    }
  }

  // Begins with the next bucket; if there is none, ends the sweep and returns false.
  bool SweepNext() {
    while (state_.swept < FarBucket::kCount) {
      const FarBucket bucket(state_.swept++);
      if (pages_->heads[bucket.number()] == 0) continue;
      state_.sweep_first = std::exchange(pages_->heads[bucket.number()], 0);
      state_.parity[bucket.level()] ^= uint64_t{1} << bucket.group();
      return true;
    }
    state_.swept = 0;
    return false;
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

#endif  // KEVENT_CORE_TIMERS_FAR_INDEX_H_
