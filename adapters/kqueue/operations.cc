// SPDX-License-Identifier: MIT

#include "adapters/kqueue/operations.h"

#include <cstdlib>

#include "adapters/queues/held.h"

namespace kevent::kqueue {

void Operations::Begin(uintptr_t control, uint32_t kqueue) {
  const queues::Held held(lock_);
  Entry* entry = Find(control, kqueue);
  if (entry == nullptr) entry = Add(control, kqueue);
  if (entry == nullptr) return;
  by_control_.ForEachOf(control, [](Entry* of_block) { of_block->is_of_last = false; });
  entry->is_of_last = true;
  ++entry->expected;
}

void Operations::Withdraw(uintptr_t control, uint32_t kqueue) {
  const queues::Held held(lock_);
  Entry* const entry = Find(control, kqueue);
  if (entry == nullptr || entry->expected == 0) return;
  --entry->expected;
  RemoveIfOver(entry);
}

// The status is that of the operation that was begun last.
void Operations::Returned(uintptr_t control) {
  const queues::Held held(lock_);
  by_control_.ForEachOf(control, [](Entry* entry) {
    if (!entry->is_of_last || entry->expected == 0) return;
    --entry->expected;
    ++entry->passed_over;
  });
}

bool Operations::Retrieve(uintptr_t control, uint32_t kqueue) {
  const queues::Held held(lock_);
  Entry* const entry = Find(control, kqueue);
  if (entry == nullptr) return true;
  const bool is_reported = entry->passed_over == 0;
  if (is_reported) {
    --entry->expected;
  } else {
    --entry->passed_over;
  }
  RemoveIfOver(entry);
  return is_reported;
}

void Operations::Forget(uint32_t kqueue) {
  const queues::Held held(lock_);
  by_control_.ForEach([&](Entry* entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (entry->kqueue == kqueue) Remove(entry);
  });
}

Operations::Entry* Operations::Find(uintptr_t control, uint32_t kqueue) {
  Entry* entry = by_control_.First(control);
  while (entry != nullptr && entry->kqueue != kqueue) entry = by_control_.Next(entry);
  return entry;
}

// nullptr if there is no memory.
Operations::Entry* Operations::Add(uintptr_t control, uint32_t kqueue) {
  if (!by_control_.Reserve()) return nullptr;
  Entry* entry = free_;
  if (entry != nullptr) {
    free_ = entry->next;
  } else {
    entry = static_cast<Entry*>(std::malloc(sizeof(Entry)));
    if (entry == nullptr) return nullptr;
  }
  *entry = {nullptr, control, kqueue, false, 0, 0};
  by_control_.Insert(entry);
  return entry;
}

void Operations::RemoveIfOver(Entry* entry) {
  if (entry->expected == 0 && entry->passed_over == 0) Remove(entry);
}

void Operations::Remove(Entry* entry) {
  by_control_.Remove(entry);
  entry->next = free_;
  free_ = entry;
}

}  // namespace kevent::kqueue
