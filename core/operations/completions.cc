// SPDX-License-Identifier: MIT

#include "core/operations/completions.h"

#include "core/base/probe.h"

namespace kevent::core {

void Completions::Post(uint32_t operation) {
  std::atomic<uint32_t>& next = Operations::At(operation).next;
  uint32_t last = posted_.load(std::memory_order_relaxed);
  do {
    next.store(last, std::memory_order_relaxed);
  } while (!posted_.compare_exchange_weak(last, operation + 1, std::memory_order_seq_cst));
}

void Completions::Harvest() {
  uint32_t link = any_posted() ? posted_.exchange(0, std::memory_order_seq_cst) : 0;
  if (link == 0) return;
  const uint32_t last = link;
  uint32_t after = 0;
  for (;;) {
    std::atomic<uint32_t>& next = Operations::At(link - 1).next;
    const uint32_t before = next.load(std::memory_order_relaxed);
    next.store(after, std::memory_order_relaxed);
    ++count_;
    if (before == 0) break;
    after = link;
    link = before;
  }
  if (last_ == 0) {
    first_ = link;
  } else {
    Operations::At(last_ - 1).next.store(link, std::memory_order_relaxed);
  }
  last_ = last;
}

uint32_t Completions::TakeFirst() {
  const uint32_t operation = first_ - 1;
  first_ = Operations::At(operation).next.load(std::memory_order_relaxed);
  if (first_ == 0) last_ = 0;
  --count_;
  return operation;
}

unsigned Completions::Deliver(unsigned max, ukevent* events) {
  unsigned count = 0;
  while (count < max && count_ != 0) {
    const uint32_t number = TakeFirst();
    const Operation& operation = Operations::At(number);
    ukevent& event = events[count++];
    event = {};
    event.id.raw_u64 = operation.id;
    event.type = operation.type;
    event.event = operation.event;
    event.ret_flags = KEVENT_RET_DONE;
    event.ret_data[0] = operation.data[0];
    event.ret_data[1] = operation.data[1];
    event.ptr = reinterpret_cast<void*>(operation.cookie);
    KEVENT_PROBE(completion_collected, operation.type, operation.id, operation.cookie);
    Operations::Free(number);
  }
  return count;
}

void Completions::Clear() {
  Harvest();
  while (count_ != 0) Operations::Free(TakeFirst());
}

}  // namespace kevent::core
