// SPDX-License-Identifier: MIT

#include "core/watched.h"

#include <cerrno>
#include <climits>

#include "core/kevent_set.h"
#include "core/process.h"
#include "core/queue.h"
#include "core/signals_blocked.h"
#include "core/system.h"

namespace kevent::core {
namespace {

// Out of whatever epoll of the queue's it is in; the records stay, as for any
// descriptor that was closed.
void TakeOut(Queue& queue, int fd) {
  // A child of vfork closes in its own table of descriptors, with our memory.
  if (queue.CallersTable() == Queue::Table::kAnother || !queue.Pin()) return;
  {
    const Queue::NumbersUsed used(queue);
    // Its epolls may be strangers', if the program has closed ours behind our back.
    if (queue.OwnsEpoll()) {
      if (const KeventSet* set = queue.kevents(); set != nullptr) set->LetGo(fd);
    }
  }
  queue.Unpin();
}

}  // namespace

constinit Closing::Slot Closing::slots_[kSlots] = {};

// More than there is room for, of one remainder at once, are not seen.
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
  constexpr int kLooks = 1000;  // a system call may be over by then
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
  for (Slot& slot : slots_) AwaitReplacement(&slot, process);
}

// Not for a call that moves one of the engine's own numbers: that is open, and the call
// may be the very one that makes something now.
void Closing::AwaitReplacement(Slot* slot, uint32_t process) {
  constexpr int kPauses = 100;  // of 0.1 ms
  const uint64_t seen = slot->load(std::memory_order_seq_cst);
  const auto number = static_cast<uint32_t>(seen);
  if (seen == 0 || seen >> 32 != process || number == kAny) return;
  const int fd = static_cast<int>(number - 1);
  for (int pauses = 0; slot->load(std::memory_order_seq_cst) == seen; ++pauses) {
    if (!Registry::IsBeingReplaced(fd) || Registry::Get(fd).is_internal()) return;
    if (pauses == kPauses) {  // left by siglongjmp
      uint64_t left = seen;
      slot->compare_exchange_strong(left, 0, std::memory_order_seq_cst);
      return;
    }
    sys::Pause();
  }
}

constinit std::atomic<std::atomic<uint32_t>*>
    Watched::pages_[Registry::kMaxDescriptor / kPageEntries] = {};

int Watched::Add(int fd, uint32_t queue) {
  std::atomic<std::atomic<uint32_t>*>& page = pages_[fd / kPageEntries];
  if (page.load(std::memory_order_acquire) == nullptr) {
    constexpr size_t kBytes = kPageEntries * sizeof(std::atomic<uint32_t>);
    std::atomic<uint32_t>* fresh;
    const int error = sys::MapPages(kBytes, sys::OnFork::kWipe, &fresh);
    if (error < 0) return -error;
    std::atomic<uint32_t>* none = nullptr;
    if (!page.compare_exchange_strong(none, fresh)) {
      sys::UnmapPages(fresh, kBytes);
    }
  }
  std::atomic<uint32_t>& entry = *Entry(fd);
  uint32_t seen = 0;
  if (entry.compare_exchange_strong(seen, queue + 1) || seen == queue + 1) return 0;
  entry.store(kSeveral, std::memory_order_release);
  return 0;
}

void Watched::Remove(int fd, uint32_t queue) {
  // Of several it is not known whether others do still.
  uint32_t one = queue + 1;
  if (std::atomic<uint32_t>* entry = Entry(fd); entry != nullptr) {
    entry->compare_exchange_strong(one, 0);
  }
}

void Watched::LetGoOf(int fd) {
  const SignalsBlocked blocked;  // a handler that leaves would leave its pin behind
  // A child of vfork closes in its own table of descriptors, with our memory.
  if (!Process::Owns()) return;
  const uint32_t watching = Entry(fd)->exchange(0, std::memory_order_seq_cst);
  if (watching == 0) return;
  if (watching != kSeveral) return TakeOut(Process::QueueAt(watching - 1), fd);
  Queue* queue;
  for (uint32_t number = 0; (queue = Process::FindQueue(number)) != nullptr; ++number) {
    TakeOut(*queue, fd);
  }
}

void Watched::LetGo(unsigned first, unsigned last) {
  constexpr auto kLast = static_cast<unsigned>(Registry::kMaxDescriptor - 1);
  if (last > kLast) last = kLast;
  for (unsigned fd = first; fd <= last;) {
    if (pages_[fd / kPageEntries].load(std::memory_order_acquire) == nullptr) {
      fd = (fd / kPageEntries + 1) * kPageEntries;
    } else {
      LetGo(static_cast<int>(fd++));
    }
  }
}

}  // namespace kevent::core
