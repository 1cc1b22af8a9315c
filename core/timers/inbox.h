// SPDX-License-Identifier: MIT
//
// The set of timers that a queue has to look at: a bitmap over slots with two levels of summary
// above it.  Armers set bits from any thread and from signal handlers; the collector takes them.
//
// An armer has replaced the setting word before it marks.  It checks every level, upwards, and sets
// each bit that is not set: the marks of an armer that was interrupted half-way, even for ever, are
// completed by the next armer (docs/engine.md, "The index lags").  The collector clears downwards
// by read-modify-write, and reads the word last.  All of it is sequentially consistent, so that if
// an armer finds a bit set that a collector clears, the collector reads the newer word.

#ifndef KEVENT_CORE_TIMERS_INBOX_H_
#define KEVENT_CORE_TIMERS_INBOX_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <iterator>

#include "core/base/seq_cst.h"
#include "core/system/system.h"

namespace kevent::core {

inline constexpr uint32_t kChunkBits = 15;
inline constexpr uint32_t kSlotsPerChunk = 1u << kChunkBits;
inline constexpr uint32_t kLeavesPerChunk = kSlotsPerChunk / 64;
inline constexpr uint32_t kMaxChunks = 1u << 14;  // times kSlotsPerChunk is 2^29 slots

// The marks of kSlotsPerChunk slots.
struct InboxChunk {
  SeqCst<uint64_t> leaves[kLeavesPerChunk];
  SeqCst<uint64_t> summary[kLeavesPerChunk / 64];
};

// The addresses of a queue's chunks; they stay when a fork wipes the chunks themselves.
struct InboxDirectory {
  std::atomic<InboxChunk*> chunks[kMaxChunks];
};

class Inbox {
 public:
  // Makes room for the marks of `slot`: 0 or an errno.  Called by timer_create, under the queue's
  // lock, so that marking never allocates.
  int Reserve(InboxDirectory& directory, uint32_t slot) {
    std::atomic<InboxChunk*>& chunk = directory.chunks[slot >> kChunkBits];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      InboxChunk* fresh;
      const int error = sys::MapPages(sizeof(InboxChunk), sys::OnFork::kWipe, &fresh);
      if (error < 0) return -error;
      chunk.store(fresh, std::memory_order_release);
    }
    const uint32_t chunks = (slot >> kChunkBits) + 1;
    if (chunks_.load(std::memory_order_relaxed) < chunks) {
      chunks_.store(chunks, std::memory_order_relaxed);
    }
    return 0;
  }

  void Mark(InboxDirectory& directory, uint32_t slot) {
    MarkWord(directory, slot / 64, uint64_t{1} << slot % 64);
  }

  // Marks those of 64 neighbouring slots, from 64 * word on, whose bits are given.
  void MarkWord(InboxDirectory& directory, uint32_t word, uint64_t bits) {
    const uint32_t number = word / kLeavesPerChunk;
    InboxChunk* chunk = directory.chunks[number].load(std::memory_order_acquire);
    const uint32_t leaf = word % kLeavesPerChunk;
    Set(chunk->leaves[leaf], bits);
    Set(chunk->summary[leaf / 64], uint64_t{1} << leaf % 64);
    Set(top_[number / 64], uint64_t{1} << number % 64);
  }

  bool empty() const {
    for (uint32_t i = 0; i < top_words(); ++i) {
      if (top_[i].load() != 0) return false;
    }
    return true;
  }

  // Takes every mark and calls visit(slot).  Requires the queue's lock.
  template <typename Visit>
  void Drain(InboxDirectory& directory, Visit visit) {
    for (uint32_t i = 0; i < top_words(); ++i) {
      ForEachTaken(top_[i], [&](uint32_t bit) {
        const uint32_t number = i * 64 + bit;
        DrainChunk(*directory.chunks[number].load(std::memory_order_acquire), number << kChunkBits,
                   visit);
      });
    }
  }

 private:
  uint32_t top_words() const { return (chunks_.load(std::memory_order_relaxed) + 63) / 64; }

  template <typename Visit>
  static void DrainChunk(InboxChunk& chunk, uint32_t first_slot, Visit visit) {
    for (uint32_t i = 0; i < std::size(chunk.summary); ++i) {
      ForEachTaken(chunk.summary[i], [&](uint32_t bit) {
        const uint32_t leaf = i * 64 + bit;
        ForEachTaken(chunk.leaves[leaf],
                     [&](uint32_t slot_bit) { visit(first_slot + leaf * 64 + slot_bit); });
      });
    }
  }

  static void Set(SeqCst<uint64_t>& word, uint64_t bits) {
    if (ABSL_PREDICT_TRUE((word.load() & bits) == bits)) return;
    word.fetch_or(bits);
  }

  // Clears a bit before it calls (model: MARK_IS_CLEARED_LAST).
  template <typename Take>
  static void ForEachTaken(SeqCst<uint64_t>& word, Take take) {
    if (word.load() == 0) return;
    for (uint64_t bits = word.exchange(0); bits != 0; bits &= bits - 1) {
      take(static_cast<uint32_t>(std::countr_zero(bits)));
    }
  }

  std::atomic<uint32_t> chunks_;  // the number of chunks, counted to the last that any timer of the
                                  // queue was in
  SeqCst<uint64_t> top_[kMaxChunks / 64];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_INBOX_H_
