// SPDX-License-Identifier: MIT

#include "core/descriptors/closing.h"

#include "core/descriptors/process_state.h"
#include "core/descriptors/registry.h"
#include "core/system/system.h"

namespace kevent::core {

constinit Closing::Slot Closing::slots_[kSlots] = {};

// Calls beyond the room for their remainder are not seen.
Closing::Closing(uint32_t number) {
  const auto process = static_cast<uint32_t>(Process::owner());
  if (number == 0 || process == 0) return;  // there was no queue yet
  Slot* const first = &slots_[First(number)];
  for (Slot* slot = first; slot != first + kWindow; ++slot) {
    uint64_t seen = slot->load(std::memory_order_relaxed);
    if (seen != 0 && seen >> 32 == process) continue;
    own_ = uint64_t{process} << 32 | number;
    if (slot->compare_exchange_strong(seen, own_)) {
      slot_ = slot;
      return;
    }
  }
}

Closing::Slot* Closing::Find(int fd) {
  const auto process = static_cast<uint32_t>(Process::owner());
  for (const uint32_t number : {Number(fd), kAny}) {
    Slot* const first = &slots_[First(number)];
    for (Slot* slot = first; slot != first + kWindow; ++slot) {
      const uint64_t seen = slot->load(std::memory_order_seq_cst);
      if (seen == (uint64_t{process} << 32 | number)) return slot;
    }
  }
  return nullptr;
}

void Closing::Await(int fd) {
  constexpr int kLooks = 1000;  // a system call may be over after this many
  for (int looks = 0; looks < kLooks; ++looks) {
    if (!Any(fd)) return;
  }
  constexpr int kPauses = 100;  // of 0.1 ms
  for (int pauses = 0; pauses < kPauses; ++pauses) {
    sys::Pause();
    if (!Any(fd)) return;
  }
  if (Slot* const slot = Find(fd); slot != nullptr) slot->store(0, std::memory_order_seq_cst);
}

void Closing::AwaitReplacements() {
  const auto process = static_cast<uint32_t>(Process::owner());
  for (Slot& slot : slots_) {
    const uint64_t seen = slot.load(std::memory_order_seq_cst);
    if (seen != 0) AwaitReplacement(&slot, seen, process);
  }
}

// A call that moves one of the engine's own numbers is not waited for: the number is open, and the
// call may be the very one that makes something now.
void Closing::AwaitReplacement(Slot* slot, uint64_t seen, uint32_t process) {
  constexpr int kPauses = 100;  // of 0.1 ms
  const auto number = static_cast<uint32_t>(seen);
  if (seen >> 32 != process || number == kAny) return;
  const int fd = static_cast<int>(number - 1);
  for (int pauses = 0; slot->load(std::memory_order_seq_cst) == seen; ++pauses) {
    if (!Registry::IsBeingReplaced(fd) || Registry::Get(fd).is_internal()) return;
    if (pauses == kPauses) {  // the call was left by siglongjmp
      uint64_t left = seen;
      slot->compare_exchange_strong(left, 0, std::memory_order_seq_cst);
      return;
    }
    sys::Pause();
  }
}

}  // namespace kevent::core
