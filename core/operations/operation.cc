// SPDX-License-Identifier: MIT

#include "core/operations/operation.h"

#include <cerrno>

namespace kevent::core {

constinit std::atomic<Operations::Table*> Operations::table_{nullptr};

namespace {

constexpr uint64_t Head(uint64_t before, uint32_t link) {
  return ((before >> 32) + 1) << 32 | link;
}

}  // namespace

Operation* Operations::Find(uint32_t number) {
  Table* table = table_.load(std::memory_order_acquire);
  if (table == nullptr || number >= table->used.load(std::memory_order_acquire)) return nullptr;
  return number < kMax ? &table->records[number] : nullptr;
}

int Operations::Allocate(uint32_t* number) {
  Table* table = table_.load(std::memory_order_acquire);
  if (table == nullptr) {
    Table* fresh;
    const int error = sys::MapPages(sizeof(Table), sys::OnFork::kWipe, &fresh);
    if (error < 0) return -error;
    if (table_.compare_exchange_strong(table, fresh, std::memory_order_acq_rel)) {
      table = fresh;
    } else {
      sys::UnmapPages(fresh, sizeof(Table));
    }
  }
  uint64_t head = table->free.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(head) != 0) {
    const uint32_t first = static_cast<uint32_t>(head) - 1;
    const uint32_t next = table->records[first].next.load(std::memory_order_relaxed);
    if (!table->free.compare_exchange_weak(head, Head(head, next), std::memory_order_acq_rel)) {
      continue;
    }
    *number = first;
    return 0;
  }
  uint32_t used = table->used.load(std::memory_order_relaxed);
  do {
    if (used == kMax) return EAGAIN;
  } while (!table->used.compare_exchange_weak(used, used + 1, std::memory_order_acq_rel));
  *number = used;
  return 0;
}

void Operations::Free(uint32_t number) {
  Table* table = table_.load(std::memory_order_acquire);
  uint64_t head = table->free.load(std::memory_order_relaxed);
  do {
    table->records[number].next.store(static_cast<uint32_t>(head), std::memory_order_relaxed);
  } while (
      !table->free.compare_exchange_weak(head, Head(head, number + 1), std::memory_order_acq_rel));
}

}  // namespace kevent::core
