// SPDX-License-Identifier: MIT
//
// Every timer of the process: 64 bytes each, in chunks that are never
// unmapped, so that a handle of any age can be checked without a lock.

#ifndef KEVENT_CORE_TIMERS_SLOT_TABLE_H_
#define KEVENT_CORE_TIMERS_SLOT_TABLE_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

#include "core/base/lock.h"
#include "core/base/seq_cst.h"
#include "core/timers/handle.h"
#include "core/timers/inbox.h"
#include "core/timers/setting.h"

namespace kevent::core {

// The timer that a slot belongs to, and the number of its present setting, in one word: a setting
// of a deleted timer cannot be counted as one of the timer that has the slot now.
class SlotLife {
 public:
  uint32_t generation() const { return Generation(bits_.load()); }
  uint32_t setting() const { return static_cast<uint32_t>(bits_.load()); }

  void set_generation(uint32_t generation) {
    bits_.exchange(uint64_t{generation} << 32 | setting());
  }

  // Counts a setting of the timer of this generation; false if that timer is gone.
  bool NextSetting(uint32_t of_generation) {
    uint64_t found = bits_.load();
    do {
      if (Generation(found) != of_generation) return false;
    } while (!bits_.compare_exchange_weak(
        found, uint64_t{of_generation} << 32 | static_cast<uint32_t>(found + 1)));
    return true;
  }

  // Ends the timer of this generation; returns true to one of several callers.
  bool End(uint32_t of_generation) {
    uint64_t found = bits_.load();
    do {
      if (Generation(found) != of_generation) return false;
    } while (!bits_.compare_exchange_weak(found, found + (uint64_t{1} << 32)));
    return true;
  }

 private:
  static uint32_t Generation(uint64_t bits) { return static_cast<uint32_t>(bits >> 32); }

  SeqCst<uint64_t> bits_;
};

// The moment when the index looks at a timer, as AxisDeadline bits; 0: nothing is planned, or the
// index is about to look, or the timer is due.  An armer whose deadline is later than this need not
// mark the timer: the collector comes by and reads the word.  An armer that reads 0 marks, which is
// never wrong; so only a change to 0 has to be seen in time.  Changed under the queue's lock.
class ScheduledAt {
 public:
  AxisDeadline load() const { return AxisDeadline(bits_.load(std::memory_order_seq_cst)); }

  // Before the word is read: an armer that replaces the word after that finds 0, and marks.  Where
  // it is 0, it was since before an earlier barrier.
  void Clear() {
    if (bits_.load(std::memory_order_relaxed) != 0) bits_.exchange(0, std::memory_order_seq_cst);
  }
  // Before a swap of the word, which is the barrier.
  void ClearBeforeSwap() { bits_.store(0, std::memory_order_relaxed); }

  // The index has the timer at this moment.  An armer that sees this later than it could only
  // marks.
  void Set(AxisDeadline moment) { bits_.store(moment.bits(), std::memory_order_release); }

 private:
  std::atomic<uint64_t> bits_;
};

// A slot's generation is odd while its timer lives, and even from timer_delete on.  Its queue is 0
// while it lies on the free list or in the stock of a queue.  Zeroed memory is a slot that was
// never used.
struct alignas(64) TimerSlot {
  // Flags beside the number of the queue.  kAbandoned: timer_delete has done with the slot, and its
  // queue may release it.  kOfKevent: the timer is a KEVENT_TIMER, and its cookie is the number of
  // the record.
  static constexpr uint16_t kAbandoned = 0x8000;
  static constexpr uint16_t kOfKevent = 0x4000;

  SettingWord word;

  // Of the last collected completion: the number of its setting in the upper half, the overruns in
  // the lower.  Counts for nothing when life.setting() is another.
  std::atomic<uint64_t> frozen_overruns;

  // Numbers the present setting, in the order of the thread that made it.
  std::atomic<uint64_t> arming_order;

  ScheduledAt scheduled_at;

  std::atomic<uint64_t> cookie;  // sigev_value

  SlotLife life;

  // In use (under the queue's lock): the position in the heap of entry_axis, plus one, or a
  // RunPlace, or a FarPlace, or 0.  On the free list (under the table's lock): the next slot, plus
  // one.
  uint32_t position_or_next_free;

  SeqCst<uint16_t> queue;     // number of its queue, plus one; 0: free; and flags
  std::atomic<uint8_t> axis;  // the axis of its clock, in its queue
  uint8_t entry_axis;         // the axis whose index position_or_next_free is about

  // The number of its queue, plus one; 0: none.
  uint32_t queue_link() const { return queue.load() & ~uint32_t{kAbandoned | kOfKevent}; }

  bool live_as(uint32_t handle_generation) const { return life.generation() == handle_generation; }
};
static_assert(sizeof(TimerSlot) == 64);

class SlotTable {
 public:
  // The slot that a handle names, or nullptr if no timer can have it.  The caller still compares
  // the generation.  Async-signal-safe.
  static TimerSlot* Find(Handle handle) {
    if (ABSL_PREDICT_FALSE(!handle.well_formed())) return nullptr;
    TimerSlot* chunk = chunks_[handle.slot() >> kChunkBits].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &chunk[handle.slot() % kSlotsPerChunk];
  }

  // Requires that the slot was handed out before.
  static TimerSlot& At(uint32_t slot) {
    return chunks_[slot >> kChunkBits].load(std::memory_order_relaxed)[slot % kSlotsPerChunk];
  }

  // Takes the slot that has been free longest: 0, or EAGAIN when all are used,
  // or another errno.
  int Allocate(uint32_t* slot);

  // The part of timer_delete before the slot is given back: 0, or EINVAL if the timer is gone.
  // Async-signal-safe.
  static int End(Handle handle);

  // Gives back a chain of slots, linked through position_or_next_free.
  void Free(uint32_t first, uint32_t last, uint32_t count);

  // A child of fork cannot use its parent's handles: its own begin beyond all that the parent has
  // handed out.
  void Init();

  // Notes that a handle with this generation is handed out.
  static void HandedOut(uint32_t generation) {
    uint32_t highest = highest_.load(std::memory_order_relaxed);
    while (highest < generation &&
           !highest_.compare_exchange_weak(highest, generation, std::memory_order_relaxed)) {
    }
  }

 private:
  static std::atomic<TimerSlot*> chunks_[kMaxChunks];
  // The highest generation of all handles, including those of the processes that this one was
  // forked from.
  static std::atomic<uint32_t> highest_;

  Lock lock_;
  uint32_t first_generation_;             // even: the generation of a slot that was never used
  uint32_t used_ ABSL_GUARDED_BY(lock_);  // slots [0, used_) were handed out once
  uint32_t free_count_ ABSL_GUARDED_BY(lock_);
  uint32_t first_free_ ABSL_GUARDED_BY(lock_);  // slot, plus one
  uint32_t last_free_ ABSL_GUARDED_BY(lock_);   // slot, plus one
};

// The process's slots.
SlotTable& TimerSlots();

}  // namespace kevent::core

#endif  // KEVENT_CORE_TIMERS_SLOT_TABLE_H_
