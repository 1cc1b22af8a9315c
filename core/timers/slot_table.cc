// SPDX-License-Identifier: MIT

#include "core/timers/slot_table.h"

#include <cerrno>

#include "core/system/system.h"
#include "core/timers/arming_order.h"

namespace kevent::core {

thread_local constinit uint64_t t_arming_order = 0;

static_assert(kMaxChunks == 1u << (kSlotBits - kChunkBits));

constinit std::atomic<TimerSlot*> SlotTable::chunks_[kMaxChunks] = {};
constinit std::atomic<uint32_t> SlotTable::highest_{0};

void SlotTable::Init() {
  lock_.Init();
  // When the numbers are used up, they begin anew.
  const uint32_t next = (highest_.load(std::memory_order_relaxed) + 1) & ~1u;
  first_generation_ = next < kLastGeneration ? next : 0;
}

int SlotTable::Allocate(uint32_t* slot) {
  // With fewer free slots than this a new one is preferred while there is memory, so that no slot
  // comes back at once: a call that timer_delete overtook meets an unused slot rather than another
  // timer.
  constexpr uint32_t kRest = 64;

  Locked locked(lock_);
  if (free_count_ <= kRest && used_ < kMaxChunks * kSlotsPerChunk) {
    int error = 0;
    std::atomic<TimerSlot*>& chunk = chunks_[used_ >> kChunkBits];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      TimerSlot* slots;
      error = -sys::MapPages(sizeof(TimerSlot) * kSlotsPerChunk, sys::OnFork::kWipe, &slots);
      if (error == 0) {
        // A program with a few timers has the first chunk only, and is not to pay 2 MiB for it.
        if (used_ != 0) sys::PreferHugePages(slots, sizeof(TimerSlot) * kSlotsPerChunk);
        chunk.store(slots, std::memory_order_release);
      }
    }
    if (chunk.load(std::memory_order_relaxed) != nullptr) {
      *slot = used_++;
      if (first_generation_ != 0) At(*slot).life.set_generation(first_generation_);
      return 0;
    }
    if (free_count_ == 0) return error;
  }
  if (free_count_ == 0) return EAGAIN;
  *slot = first_free_ - 1;
  first_free_ = At(*slot).position_or_next_free;
  if (--free_count_ == 0) last_free_ = 0;
  return 0;
}

void SlotTable::Free(uint32_t first, uint32_t last, uint32_t count) {
  Locked locked(lock_);
  At(last).position_or_next_free = 0;
  if (free_count_ == 0) {
    first_free_ = first + 1;
  } else {
    At(last_free_ - 1).position_or_next_free = first + 1;
  }
  last_free_ = last + 1;
  free_count_ += count;
}

int SlotTable::End(Handle handle) {
  TimerSlot* timer = Find(handle);
  if (timer == nullptr) return EINVAL;
  // From here on every call with this handle fails with EINVAL.
  if (!timer->life.End(handle.generation())) return EINVAL;
  // From here on nothing is claimed for it (model: DELETE_DOES_NOT_DISARM).
  PackedSetting before = timer->word.Guess();
  while (!timer->word.Swap(before, PackedSetting(Disarmed(before.Unpack())))) {
  }
  timer->queue.fetch_or(TimerSlot::kAbandoned);
  return 0;
}

}  // namespace kevent::core
